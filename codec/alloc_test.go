package codec

import (
	"testing"

	"github.com/heddle-go/heddle"
)

func TestNoAllocations(t *testing.T) {
	chunk0 := AppendChunk(nil, heddle.V0, 7, make([]byte, 128))
	chunk1 := AppendChunk(nil, heddle.V1, 7, make([]byte, 128))
	wide := append([]byte{0xdc, 0, 3}, chunk1[1:]...) // not on the fast path
	traced := AppendHeaders(append([]byte(nil), chunk1...), 0, []Header{{[]byte("trace_id"), make([]byte, 8)}, {[]byte("span_id"), make([]byte, 8)}})
	headers := traced[len(chunk1):]
	request := AppendRequestHead(nil, requestHead(12), false)
	response := AppendResponseHead(nil, &heddle.ResponseHead{Code: 200, Headers: requestHead(12).Headers})

	v0, v1 := NewDecoder(heddle.V0, Limits{}), NewDecoder(heddle.V1, Limits{})
	var table HeaderTable
	if _, err := table.Decode(nil, append([]byte{0x91}, literal(true, "n", "v")...)); err != nil {
		t.Fatal(err)
	}
	hs := make([]Header, 0, 8)
	indices := []byte{0x93, 80, 8, 83}
	dst := make([]byte, 0, 4096)
	var h heddle.RequestHead
	var r heddle.ResponseHead
	var m struct { // as a mux has them: in one struct on the heap
		chunk  heddle.Chunk
		invoke heddle.Invoke
		error  heddle.ErrorV1
		window heddle.Window
	}
	must := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	next := func(d *Decoder, p []byte) Frame {
		f, n, err := d.Next(p)
		if err != nil || n != len(p) {
			t.Fatal(n, err)
		}
		return f
	}
	invoke := AppendInvoke(nil, heddle.V1, 2, "http", 0)[3:]
	cancel := AppendCancel(nil, 2, 42, 100, "gone")[3:]
	window := AppendWindow(nil, 2, 32768)[3:]
	welcome := &heddle.WelcomeInfo{Release: raw("r")}
	offer := &heddle.Offer{Version: raw("1")}

	for name, f := range map[string]func(){
		"Next v0":       func() { next(v0, chunk0) },
		"Next v1":       func() { next(v1, chunk1) },
		"Next headers":  func() { next(v1, traced) },
		"Next array16":  func() { next(v1, wide) },
		"Detect":        func() { _, err := Detect(chunk1); must(err) },
		"chunk":         func() { must(DecodeArgs(&m.chunk, next(v1, chunk1).Args, 1)) },
		"invoke":        func() { must(DecodeArgs(&m.invoke, invoke, 1)) },
		"revoke":        func() { _, _, _, err := Revoke([]byte{0x92, 5, 0x92, 7, 4}); must(err) },
		"cancel":        func() { must(DecodeArgs(&m.error, cancel, 1)) },
		"window":        func() { must(DecodeArgs(&m.window, window, 1)) },
		"request head":  func() { must(DecodeRequestHead(&h, request)) },
		"response head": func() { must(DecodeResponseHead(&r, response)) },
		"short": func() {
			for cut := range chunk1 {
				if _, _, err := v1.Next(chunk1[:cut]); err != ErrShort {
					t.Fatal(cut, err)
				}
			}
			next(v1, chunk1)
		},
		"short head": func() {
			if err := DecodeRequestHead(&h, request[:len(request)-1]); err != ErrShort {
				t.Fatal(err)
			}
		},
		"header literals": func() { _, err := table.Decode(hs[:0], headers); must(err) },
		"header indices":  func() { _, err := table.Decode(hs[:0], indices); must(err) },
		"append": func() {
			for _, d := range dialects {
				dst = AppendHandshake(dst[:0], d, uuid, offer)
				dst = AppendHeartbeat(dst, d)
				dst = AppendTerminate(dst, d, 1, "normal")
				dst = AppendInvoke(dst, d, 1000, "http", 0)
				dst = AppendChunk(dst, d, 1000, chunk0)
				dst = AppendError(dst, d, 1000, 42, 100, "boom")
				dst = AppendErrorArgs(AppendMethod(dst, d, 1000, 1, nil), 42, 100, "boom")
				dst = AppendChoke(dst, d, 1000)
			}
			dst = AppendWindow(dst, 1000, 1<<20)
			dst = AppendCancel(dst, 1000, 1, 104, "reset")
			dst = AppendFiles(dst, 1000, 2)
			dst = AppendGone(dst, 1000)
			dst = AppendExtension(dst, 1000, heddle.ExtInfo, response)
			dst = AppendWelcome(dst, welcome)
			dst = AppendControl(dst, heddle.CtlOnline)
			dst = AppendReason(dst, heddle.CtlBroken, "x")
			dst = AppendDrain(dst, 1000)
			dst = AppendHeaders(AppendHeartbeat(dst[:0], heddle.V1), 0, hs[:2])
			dst = AppendRequestHead(dst[:0], &h, true)
			dst = AppendRequestHead(dst, &h, false)
			dst = AppendResponseHead(dst, &r)
		},
	} {
		if n := testing.AllocsPerRun(100, f); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}
