package codec

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/heddle-go/heddle"
)

var dialects = []heddle.Dialect{heddle.V0, heddle.V1}

func BenchmarkDecodeChunk(b *testing.B) {
	for _, d := range dialects {
		for _, size := range []int{128, 32 << 10} {
			b.Run(fmt.Sprintf("%v/%d", d, size), func(b *testing.B) {
				p := AppendChunk(nil, d, 7, make([]byte, size))
				dec := NewDecoder(d, Limits{})
				var m heddle.Chunk
				b.SetBytes(int64(len(p)))
				b.ReportAllocs()
				for b.Loop() {
					f, _, err := dec.Next(p)
					if err != nil {
						b.Fatal(err)
					}
					m.Reset()
					if _, err = m.UnmarshalMsg(f.Args); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// BenchmarkDecodePieces decodes chunks of 128 bytes from reads of the given size.
func BenchmarkDecodePieces(b *testing.B) {
	chunk := AppendChunk(nil, heddle.V1, 7, make([]byte, 128))
	all := bytes.Repeat(chunk, 500)
	for _, size := range []int{64, 1000, 65536} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			dec := NewDecoder(heddle.V1, Limits{})
			b.SetBytes(int64(len(all)))
			b.ReportAllocs()
			for b.Loop() {
				start, end := 0, 0
				for start < len(all) {
					end = min(end+size, len(all))
					for {
						_, n, err := dec.Next(all[start:end])
						if err == ErrShort {
							break
						}
						start += n
					}
				}
			}
		})
	}
}

func BenchmarkEncodeChunk(b *testing.B) {
	for _, d := range dialects {
		for _, size := range []int{128, 32 << 10} {
			b.Run(fmt.Sprintf("%v/%d", d, size), func(b *testing.B) {
				payload := make([]byte, size)
				dst := make([]byte, 0, size+64)
				b.SetBytes(int64(size))
				b.ReportAllocs()
				for b.Loop() {
					dst = AppendChunk(dst[:0], d, 7, payload)
				}
			})
		}
	}
}

// requestHead is a browser's request with n headers.
func requestHead(n int) *heddle.RequestHead {
	h := &heddle.RequestHead{Method: heddle.Raw("GET"), URI: heddle.Raw("/some/path?q=1"), Version: heddle.Raw("1.1")}
	h.Extra.Reset()
	h.Extra.RemoteAddr = heddle.Raw("192.0.2.1:50000")
	for i := range n {
		h.Headers = append(h.Headers, heddle.Header{
			Name:  fmt.Appendf(nil, "X-Header-%d", i),
			Value: bytes.Repeat([]byte("v"), 5*i),
		})
	}
	return h
}

func BenchmarkDecodeRequestHead(b *testing.B) {
	for _, plain := range []bool{true, false} {
		b.Run(map[bool]string{true: "plain", false: "heddle"}[plain], func(b *testing.B) {
			p := AppendRequestHead(nil, requestHead(12), plain)
			var h heddle.RequestHead
			b.SetBytes(int64(len(p)))
			b.ReportAllocs()
			for b.Loop() {
				if err := DecodeRequestHead(&h, p); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkEncodeRequestHead(b *testing.B) {
	h := requestHead(12)
	var dst []byte
	b.ReportAllocs()
	for b.Loop() {
		dst = AppendRequestHead(dst[:0], h, false)
	}
}

func BenchmarkDecodeHeaders(b *testing.B) {
	raw := AppendHeaders([]byte{0x93, 2, 0, 0x90}, 0, []Header{
		{[]byte("trace_id"), make([]byte, 8)}, {[]byte("span_id"), make([]byte, 8)}, {[]byte("parent_id"), make([]byte, 8)},
	})[4:]
	var t HeaderTable
	var hs []Header
	b.ReportAllocs()
	for b.Loop() {
		hs, _ = t.Decode(hs[:0], raw)
	}
}
