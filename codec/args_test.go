package codec

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/heddle-go/heddle"
)

func TestDecodeArgs(t *testing.T) {
	for _, c := range []struct {
		name     string
		hex      string
		required int
		into     Message // as left by an earlier decode
		want     Message // nil: refused
	}{
		{"window absent", "91 a161", 1, &heddle.Invoke{Event: raw("old"), Window: 5}, &heddle.Invoke{Event: raw("a"), Window: -1}},
		{"window zero", "92 a161 00", 1, &heddle.Invoke{Window: 5}, &heddle.Invoke{Event: raw("a")}},
		{"nothing at all", "90", 0, &heddle.Invoke{Event: raw("old"), Window: 5}, &heddle.Invoke{Window: -1}},
		{"event missing", "90", 1, &heddle.Invoke{}, nil},
		{"message of an error missing", "91 92 01 02", 1, &heddle.ErrorV1{Reason: raw("old")}, &heddle.ErrorV1{Code: heddle.ErrorCode{Category: 1, Code: 2}}},
		{"v0 error in v1", "92 05 a178", 1, &heddle.ErrorV1{}, nil},
		{"further arguments", "94 a161 80 91 90 c3", 1, &heddle.Chunk{}, &heddle.Chunk{Data: raw("a")}},
		{"nil data", "91 c0", 1, &heddle.Chunk{Data: raw("old")}, &heddle.Chunk{}},
		{"number for data", "91 05", 1, &heddle.Chunk{}, nil},
		{"no array", "05", 0, &heddle.Chunk{}, nil},
		{"offer absent", "91 a175", 1, &heddle.Handshake{Offer: heddle.Offer{PID: 7, Features: []heddle.Raw{raw("old")}}}, &heddle.Handshake{UUID: raw("u")}},
		{"unknown key in offer", "92 a175 82 a378797a 91 c0 a3706964 05", 1, &heddle.Handshake{}, &heddle.Handshake{UUID: raw("u"), Offer: heddle.Offer{PID: 5}}},
		{"sixty-five features", "92 a175 81 a86665617475726573 dc0041", 1, &heddle.Handshake{}, nil},
		{"negative credit", "91 ff", 1, &heddle.Window{}, nil},
		{"old trailers", "91 90", 1, &heddle.Trailers{Headers: make([]heddle.Header, 3)}, &heddle.Trailers{}},
	} {
		err := DecodeArgs(c.into, unhex(t, c.hex), c.required)
		var syntax *SyntaxError
		if c.want == nil {
			if !errors.As(err, &syntax) {
				t.Errorf("%s: got %+v, %v, want a refusal", c.name, c.into, err)
			}
			continue
		}
		if d := cmp.Diff(c.want, c.into, cmpopts.EquateEmpty()); err != nil || d != "" {
			t.Errorf("%s: %v (-want +got):\n%s", c.name, err, d)
		}
	}
}

func TestArgCount(t *testing.T) {
	for hex, want := range map[string]int{"": 0, "90": 0, "93": 3, "dc0010": 16, "dd00010000": 65536, "dc": 0, "80": 0, "c0": 0} {
		if got := ArgCount(unhex(t, hex)); got != want {
			t.Errorf("%q: got %d, want %d", hex, got, want)
		}
	}
}

// TestCapturedHeads decodes every captured chunk that is an HTTP head, and writes it again.
func TestCapturedHeads(t *testing.T) {
	requests, responses := 0, 0
	for _, v := range loadVectors(t) {
		if v.typ != "chunk" && !strings.Contains(v.what, "packed HTTP request") {
			continue
		}
		f, _, err := decodeWhole(v.dialect, v.bytes, new(HeaderTable))
		if err != nil {
			continue
		}
		var p []byte
		if ArgCount(f.Args) == 2 { // v0 enqueue: event, chunk
			var event, data heddle.Raw
			rest, _ := event.UnmarshalMsg(f.Args[1:])
			_, _ = data.UnmarshalMsg(rest)
			p = data
		} else {
			var m heddle.Chunk
			if err := DecodeArgs(&m, f.Args, 1); err != nil {
				t.Fatalf("row %d: %v", v.n, err)
			}
			p = m.Data
		}
		switch {
		case len(p) > 20 && p[0] == 0x95:
			var h heddle.RequestHead
			if err := DecodeRequestHead(&h, p); err != nil {
				t.Errorf("row %d: %v in %x", v.n, err, p)
			} else if again := AppendRequestHead(nil, &h, true); !bytes.Equal(again, p) {
				t.Errorf("row %d: request becomes\n%x, from\n%x", v.n, again, p)
			}
			if h.Extra.ContentLength != -1 {
				t.Errorf("row %d: content length %d", v.n, h.Extra.ContentLength)
			}
			requests++
		case len(p) > 4 && p[0] == 0x92 && p[1] == 0xcc:
			var h heddle.ResponseHead
			if err := DecodeResponseHead(&h, p); err != nil || h.Code/100 != 2 {
				t.Errorf("row %d: %d, %v in %x", v.n, h.Code, err, p)
			} else if again := AppendResponseHead(nil, &h); !bytes.Equal(again, p) {
				t.Errorf("row %d: response becomes\n%x, from\n%x", v.n, again, p)
			}
			responses++
		}
	}
	if requests != 18 || responses != 20 {
		t.Errorf("%d requests and %d responses, want 18 and 20", requests, responses)
	}
}

func TestHeads(t *testing.T) {
	full := requestHead(3)
	full.Extra = heddle.RequestExtra{RemoteAddr: raw("r"), LocalAddr: raw("l"), RequestID: raw("i"), ContentLength: 200,
		TLS:      heddle.TLSInfo{Version: 0x304, CipherSuite: 0x1301, ServerName: raw("s"), Protocol: raw("h2"), PeerSubject: raw("CN=x")},
		Deadline: 1 << 40, Upgrade: raw("websocket"), Host: raw("h"), TransferEncoding: []heddle.Raw{raw("chunked")}, Trailer: []heddle.Raw{raw("X-Sum")}, Close: true}
	var h heddle.RequestHead
	for _, plain := range []bool{false, true, false} { // the same struct again and again
		p := AppendRequestHead(nil, full, plain)
		assertOldSpec(t, p)
		if err := DecodeRequestHead(&h, p); err != nil {
			t.Fatal(err)
		}
		want := *full
		if plain {
			want.Extra = heddle.RequestExtra{ContentLength: -1}
		}
		if d := cmp.Diff(&want, &h, cmpopts.EquateEmpty()); d != "" {
			t.Errorf("plain %v (-want +got):\n%s", plain, d)
		}
		for cut := range p {
			if err := DecodeRequestHead(&h, p[:cut]); err != ErrShort {
				t.Fatalf("cut at %d of %d: %v", cut, len(p), err)
			}
		}
	}
}

func TestHeadsRefuse(t *testing.T) {
	request := func(s string) error { return DecodeRequestHead(new(heddle.RequestHead), unhex(t, s)) }
	response := func(s string) error { return DecodeResponseHead(new(heddle.ResponseHead), unhex(t, s)) }
	const five = "a1 47 a1 2f a3 312e31 90 a0"
	for _, c := range []struct {
		name   string
		decode func(string) error
		hex    string
		want   error // ErrShort, ErrTooLarge, or nil for *SyntaxError
	}{
		{"nothing", request, "", ErrShort},
		{"four elements", request, "94 a147 a12f a3312e31 90", nil},
		{"no elements", request, "90", nil},
		{"map", request, "80", nil},
		{"number for method", request, "95 01 a12f a3312e31 90 a0", nil},
		{"header of three", request, "95 a147 a12f a0 91 93 a0 a0 a0 a0", nil},
		{"header of one", request, "95 a147 a12f a0 91 91 a0 a0", nil},
		{"1025 headers", request, "95 a147 a12f a0 dc0401", ErrTooLarge},
		{"4 G headers", request, "95 a147 a12f a0 ddffffffff", ErrTooLarge},
		{"1024 headers promised", request, "95 a147 a12f a0 dc0400", ErrShort},
		{"extra is no array", request, "96" + five + "05", nil},
		{"4 G transfer encodings", request, "96" + five + "99 a0 a0 a0 00 90 00 a0 a0 ddffffffff", ErrTooLarge},
		{"bytes behind", request, "95" + five + "00", nil},
		{"deep further element", request, "97" + five + "90" + strings.Repeat("91", 5000) + "00", ErrTooLarge},
		{"one element", response, "91 ccc8", nil},
		{"1025 headers", response, "92 ccc8 dc0401", ErrTooLarge},
		{"cut off", response, "92 ccc8 91 92", ErrShort},
		{"raw for code", response, "92 a3323030 90", nil},
	} {
		err := c.decode(c.hex)
		var syntax *SyntaxError
		if c.want == nil && !errors.As(err, &syntax) || c.want != nil && !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", c.name, err, c.want)
		}
		p := unhex(t, c.hex)
		if got := allocated(func() { _ = DecodeRequestHead(new(heddle.RequestHead), p) }); got > 64<<10 {
			t.Errorf("%s: %d bytes allocated", c.name, got)
		}
	}
}

func TestRevoke(t *testing.T) {
	for _, c := range []struct {
		hex            string
		sid            uint64
		category, code int64
		ok             bool
	}{
		{"92 05 92 07 04", 5, 7, 4, true}, // as captured
		{"93 cdffff 92 d0f0 cd0100 c0", 65535, -16, 256, true},
		{"91 05", 0, 0, 0, false},
		{"92 05 07", 0, 0, 0, false},
		{"92 ff 92 07 04", 0, 0, 0, false},
		{"92 05 92 07", 0, 0, 0, false},
		{"90", 0, 0, 0, false},
		{"05", 0, 0, 0, false},
		{"", 0, 0, 0, false},
	} {
		sid, category, code, err := Revoke(unhex(t, c.hex))
		var syntax *SyntaxError
		if sid != c.sid || category != c.category || code != c.code || (err == nil) != c.ok || err != nil && !errors.As(err, &syntax) {
			t.Errorf("%s: %d, %d, %d, %v", c.hex, sid, category, code, err)
		}
	}
}
