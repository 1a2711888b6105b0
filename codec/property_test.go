package codec

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/heddle-go/heddle"
	"pgregory.net/rapid"
)

var (
	anyDialect = rapid.SampledFrom(dialects)
	anyID      = rapid.OneOf(rapid.Uint64Max(300), rapid.Uint64())
	anyInt     = rapid.OneOf(rapid.Int64Range(-300, 300), rapid.Int64())
	anyString  = rapid.Map(rapid.SliceOfN(rapid.Byte(), 0, 80), func(b []byte) string { return string(b) })
)

// anyFrame draws a message, appends it to dst and says what Next must find.
func anyFrame(t *rapid.T, dst []byte, d heddle.Dialect) ([]byte, Frame) {
	start := len(dst)
	sid := anyID.Draw(t, "sid")
	f := Frame{Session: sid}
	number := func(v0, v1 uint64) {
		f.Type = v1
		if d == heddle.V0 {
			f.Type = v0
		}
	}
	control := func(v0, v1 uint64) {
		number(v0, v1)
		f.Session = heddle.ControlChannel
		if d == heddle.V0 {
			f.Session = 0
		}
	}
	text := anyString.Draw(t, "text")
	code := anyInt.Draw(t, "code")
	kinds := 8
	if d == heddle.V1 {
		kinds = 12
	}
	switch rapid.IntRange(0, kinds-1).Draw(t, "kind") {
	case 0:
		dst = AppendHandshake(dst, d, text, nil)
		control(heddle.TypeV0Handshake, heddle.MsgHandshake)
	case 1:
		dst = AppendHeartbeat(dst, d)
		control(heddle.TypeV0Heartbeat, heddle.MsgHeartbeat)
	case 2:
		dst = AppendTerminate(dst, d, code, text)
		control(heddle.TypeV0Terminate, heddle.MsgTerminate)
	case 3:
		dst = AppendInvoke(dst, d, sid, text, code)
		number(heddle.TypeV0Invoke, heddle.MsgInvoke)
	case 4:
		dst = AppendChunk(dst, d, sid, []byte(text))
		number(heddle.TypeV0Chunk, heddle.MsgWrite)
	case 5:
		dst = AppendChoke(dst, d, sid)
		number(heddle.TypeV0Choke, heddle.MsgClose)
	case 6:
		dst = AppendError(dst, d, sid, code, code, text)
		number(heddle.TypeV0Error, heddle.MsgError)
	case 7:
		f.Type = anyID.Draw(t, "method")
		dst = AppendMethod(dst, d, sid, f.Type, anyValue(t, AppendArray(nil, 1), 14))
	case 8:
		dst = AppendWindow(dst, sid, uint64(code))
		f.Type = heddle.ExtWindow
	case 9:
		dst = AppendCancel(dst, sid, code, code, text)
		f.Type = heddle.ExtCancel
	case 10:
		dst = AppendFiles(dst, sid, uint64(code))
		f.Type = heddle.ExtFiles
	case 11:
		dst = AppendGone(dst, sid)
		f.Type = heddle.ExtGone
	}
	// The arguments are what follows the head and the two integers.
	var a, b heddle.Value
	rest, _ := a.UnmarshalMsg(dst[start+1:])
	rest, _ = b.UnmarshalMsg(rest)
	args := len(dst) - len(rest)
	f.Args = bytes.Clone(dst[args:])
	if d == heddle.V1 && rapid.Bool().Draw(t, "headers") {
		before := len(dst)
		n := rapid.IntRange(0, 20).Draw(t, "headers")
		dst = AppendHeaders(dst, start, make([]Header, n))
		f.Headers = bytes.Clone(dst[before:])
	}
	return dst, f
}

// anyValue appends a value of at most depth containers inside each other.
func anyValue(t *rapid.T, dst []byte, depth int) []byte {
	switch kind := rapid.IntRange(0, 5).Draw(t, "value"); {
	case kind < 2 && depth > 0:
		n := rapid.IntRange(0, 3).Draw(t, "members")
		if kind == 0 {
			dst = AppendArray(dst, n)
		} else {
			dst = append(dst, 0x80|byte(n))
			n *= 2
		}
		for range n {
			dst = anyValue(t, dst, depth-1)
		}
		return dst
	case kind == 2:
		return appendInt(dst, anyInt.Draw(t, "int"))
	case kind == 3:
		return append(dst, 0xc7, 2, 1, 0, 0) // ext8
	case kind == 4:
		return append(dst, 0xcb, 1, 2, 3, 4, 5, 6, 7, 8) // float64
	}
	return AppendRawString(dst, anyString.Draw(t, "raw"))
}

// TestAppendedFramesDecode: what Append writes is what Next reads, however it is cut.
func TestAppendedFramesDecode(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := anyDialect.Draw(t, "dialect")
		var stream []byte
		var want []Frame
		for range rapid.IntRange(1, 6).Draw(t, "frames") {
			var f Frame
			stream, f = anyFrame(t, stream, d)
			want = append(want, f)
		}
		whole, err := decodeAll(NewDecoder(d, Limits{}), stream, func() int { return len(stream) })
		if diff := cmp.Diff(want, whole, cmpopts.EquateEmpty()); err != ErrShort || diff != "" {
			t.Fatalf("%v (-want +got):\n%s", err, diff)
		}
		step := rapid.IntRange(1, 50)
		pieces, err := decodeAll(NewDecoder(d, Limits{}), stream, func() int { return step.Draw(t, "piece") })
		if diff := cmp.Diff(want, pieces, cmpopts.EquateEmpty()); err != ErrShort || diff != "" {
			t.Fatalf("in pieces: %v (-want +got):\n%s", err, diff)
		}
	})
}

// TestCutFramesAreShort: no part of a frame is mistaken for a frame, or refused.
func TestCutFramesAreShort(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := anyDialect.Draw(t, "dialect")
		p, _ := anyFrame(t, nil, d)
		for cut := range p {
			dec := NewDecoder(d, Limits{})
			if f, n, err := dec.Next(p[:cut:cut]); err != ErrShort || n != 0 {
				t.Fatalf("%x cut at %d: %+v, %d, %v", p, cut, f, n, err)
			}
			if need := dec.Need(); need <= cut || need > len(p) {
				t.Fatalf("%x cut at %d: needs %d", p, cut, need)
			}
		}
	})
}

// TestVerdictsDoNotDependOnTheCut: damaged streams give the same frames and the same error, with the same
// offset, in one piece and in many.
func TestVerdictsDoNotDependOnTheCut(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := anyDialect.Draw(t, "dialect")
		var stream []byte
		for range rapid.IntRange(1, 4).Draw(t, "frames") {
			stream, _ = anyFrame(t, stream, d)
		}
		for range rapid.IntRange(0, 3).Draw(t, "damage") {
			at := rapid.IntRange(0, len(stream)-1).Draw(t, "at")
			stream[at] = rapid.OneOf(rapid.SampledFrom([]byte{0x80, 0x90, 0x92, 0x94, 0xc0, 0xc1, 0xc6, 0xdb, 0xdc, 0xdd, 0xdf, 0xff}), rapid.Byte()).Draw(t, "byte")
		}
		limits := Limits{
			Frame:    rapid.SampledFrom([]int{0, 40, 200}).Draw(t, "frame limit"),
			Depth:    rapid.SampledFrom([]int{0, 2, 5}).Draw(t, "depth limit"),
			Elements: rapid.SampledFrom([]int{0, 5, 20}).Draw(t, "element limit"),
		}
		whole, wholeErr := decodeAll(NewDecoder(d, limits), stream, func() int { return len(stream) })
		step := rapid.IntRange(1, 20)
		pieces, piecesErr := decodeAll(NewDecoder(d, limits), stream, func() int { return step.Draw(t, "piece") })
		if diff := cmp.Diff(whole, pieces); diff != "" || wholeErr.Error() != piecesErr.Error() {
			t.Fatalf("%x\nwhole:  %v\npieces: %v\n%s", stream, wholeErr, piecesErr, diff)
		}
	})
}

// decodeAll gives stream to d in pieces of next() bytes. It returns the frames, copied, and the last error.
func decodeAll(d *Decoder, stream []byte, next func() int) (fs []Frame, err error) {
	start, end := 0, 0
	for end < len(stream) {
		end = min(end+next(), len(stream))
		for {
			f, n, err := d.Next(stream[start:end:end])
			if err == ErrShort {
				break
			}
			if err != nil {
				return fs, err
			}
			start += n
			f.Args, f.Headers = bytes.Clone(f.Args), bytes.Clone(f.Headers)
			fs = append(fs, f)
		}
	}
	return fs, ErrShort
}

// anyHead draws a request head.
func anyHead(t *rapid.T) *heddle.RequestHead {
	r := func(name string) heddle.Raw { return heddle.Raw(anyString.Draw(t, name)) }
	h := &heddle.RequestHead{Method: r("method"), URI: r("uri"), Version: r("version"), Body: r("body")}
	for range rapid.IntRange(0, 20).Draw(t, "headers") {
		h.Headers = append(h.Headers, heddle.Header{Name: r("name"), Value: r("value")})
	}
	h.Extra = heddle.RequestExtra{RemoteAddr: r("remote"), LocalAddr: r("local"), RequestID: r("id"), ContentLength: anyInt.Draw(t, "length"),
		TLS:      heddle.TLSInfo{Version: anyID.Draw(t, "tls"), CipherSuite: anyID.Draw(t, "suite"), ServerName: r("name"), Protocol: r("alpn"), PeerSubject: r("peer")},
		Deadline: anyInt.Draw(t, "deadline"), Upgrade: r("upgrade"), Host: r("host"), Close: rapid.Bool().Draw(t, "close")}
	for range rapid.IntRange(0, 3).Draw(t, "codings") {
		h.Extra.TransferEncoding = append(h.Extra.TransferEncoding, r("coding"))
	}
	return h
}

func TestHeadsRoundTrip(t *testing.T) {
	var got heddle.RequestHead // used again and again
	rapid.Check(t, func(t *rapid.T) {
		want := anyHead(t)
		plain := rapid.Bool().Draw(t, "plain")
		p := AppendRequestHead(nil, want, plain)
		assertOldSpecRapid(t, p)
		if plain {
			want.Extra = heddle.RequestExtra{ContentLength: -1}
		}
		if err := DecodeRequestHead(&got, p); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, &got, cmpopts.EquateEmpty()); d != "" {
			t.Fatal(d)
		}
		cut := rapid.IntRange(0, len(p)-1).Draw(t, "cut")
		if err := DecodeRequestHead(&got, p[:cut]); err != ErrShort {
			t.Fatalf("cut at %d of %d: %v", cut, len(p), err)
		}
	})
}

func assertOldSpecRapid(t *rapid.T, p []byte) {
	for off := 0; off < len(p); {
		if c := p[off]; c >= 0xc4 && c <= 0xc9 || c >= 0xd4 && c <= 0xd9 {
			t.Fatalf("byte %d of %x is %#02x", off, p, c)
		}
		size, _, err := heddle.Head(p[off:])
		if err != nil {
			t.Fatal(err)
		}
		off += int(size)
	}
}

// TestHeaderTableAgainstModel compares the table with one that keeps a plain list.
func TestHeaderTableAgainstModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var table HeaderTable
		var list []Header // newest first
		for i := range rapid.IntRange(1, 40).Draw(t, "headers") {
			name := rapid.IntRange(0, 100).Draw(t, "name index")
			value := make([]byte, rapid.SampledFrom([]int{0, 5, 900, 2000, 4200}).Draw(t, "value length"))
			copy(value, fmt.Sprint(i))
			_, err := table.Decode(nil, AppendRaw(append([]byte{0x91, 0x93, 0xc3}, byte(name)), value))
			var known *Header
			if name > 0 && name < firstDynamic {
				known = &staticTable[name]
			} else if j := name - firstDynamic; name > 0 && j < len(list) {
				known = &list[j]
			}
			if (known != nil) != (err == nil) {
				t.Fatalf("name %d with %d entries: %v", name, len(list), err)
			}
			if known == nil {
				var syntax *SyntaxError
				if !errors.As(err, &syntax) {
					t.Fatal(err)
				}
				return // the channel is dead
			}
			list = append([]Header{{known.Name, value}}, list...)
			for size, j := 0, 0; j < len(list); j++ {
				if size += len(list[j].Name) + len(list[j].Value) + 32; size > 4096 {
					list = list[:j]
				}
			}
			for j, want := range list {
				got, err := table.Decode(nil, appendUint([]byte{0x91}, uint64(firstDynamic+j)))
				if err != nil || !bytes.Equal(got[0].Name, want.Name) || !bytes.Equal(got[0].Value, want.Value) {
					t.Fatalf("entry %d: got %q, %v", j, got, err)
				}
			}
			if _, err := table.Decode(nil, appendUint([]byte{0x91}, uint64(firstDynamic+len(list)))); err == nil {
				t.Fatal("an entry beyond the last")
			}
		}
	})
}
