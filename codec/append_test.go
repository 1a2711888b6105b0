package codec

import (
	"bytes"
	"encoding/hex"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/heddle-go/heddle"
)

const uuid = "0f7c2a03-4097-4332-89a7-594fa43ea3dd"

func raw(s string) heddle.Raw { return heddle.Raw(s) }

// messages are frames written out by hand, with what they say.
var messages = []struct {
	name    string
	dialect heddle.Dialect
	hex     string // blanks are for the eye; UUID stands for the bytes of uuid
	append  func([]byte) []byte
	session uint64
	typ     uint64
	into    Message
	want    Message
}{
	{"handshake", heddle.V0, "93 00 00 91 da0024 UUID",
		func(b []byte) []byte { return AppendHandshake(b, heddle.V0, uuid, nil) },
		0, 0, &heddle.Handshake{}, &heddle.Handshake{UUID: raw(uuid)}},
	{"handshake", heddle.V1, "93 01 00 91 da0024 UUID",
		func(b []byte) []byte { return AppendHandshake(b, heddle.V1, uuid, nil) },
		1, 0, &heddle.Handshake{}, &heddle.Handshake{UUID: raw(uuid)}},
	{"handshake with offer", heddle.V1, "93 01 00 92 a175" +
		"87 a86665617475726573 91a3666473 a776657273696f6e a131 a76368616e6e656c 02 a56672616d65 cd0400 a3706964 cce9 a46e616d65 a16e a46b696e64 a16b",
		func(b []byte) []byte {
			return AppendHandshake(b, heddle.V1, "u", &heddle.Offer{Features: []heddle.Raw{raw("fds")}, Version: raw("1"),
				Channel: 2, Frame: 1024, PID: 233, Name: raw("n"), Kind: raw("k")})
		},
		1, 0, &heddle.Handshake{}, &heddle.Handshake{UUID: raw("u"), Offer: heddle.Offer{Features: []heddle.Raw{raw("fds")},
			Version: raw("1"), Channel: 2, Frame: 1024, PID: 233, Name: raw("n"), Kind: raw("k")}}},
	{"heartbeat", heddle.V0, "93 01 00 90", func(b []byte) []byte { return AppendHeartbeat(b, heddle.V0) },
		0, 1, &heddle.Empty{}, &heddle.Empty{}},
	{"heartbeat", heddle.V1, "93 01 00 90", func(b []byte) []byte { return AppendHeartbeat(b, heddle.V1) },
		1, 0, &heddle.Empty{}, &heddle.Empty{}},
	{"terminate", heddle.V0, "93 02 00 92 01 a6 6e6f726d616c",
		func(b []byte) []byte { return AppendTerminate(b, heddle.V0, 1, "normal") },
		0, 2, &heddle.Terminate{}, &heddle.Terminate{Code: 1, Reason: raw("normal")}},
	{"terminate", heddle.V1, "93 01 01 92 e0 a0",
		func(b []byte) []byte { return AppendTerminate(b, heddle.V1, -32, "") },
		1, 1, &heddle.Terminate{}, &heddle.Terminate{Code: -32}},
	{"invoke", heddle.V0, "93 03 cc80 91 a4 68747470",
		func(b []byte) []byte { return AppendInvoke(b, heddle.V0, 128, "http", -1) },
		128, 3, &heddle.Invoke{}, &heddle.Invoke{Event: raw("http"), Window: -1}},
	{"invoke", heddle.V1, "93 cd0100 00 91 a4 68747470",
		func(b []byte) []byte { return AppendInvoke(b, heddle.V1, 256, "http", -1) },
		256, 0, &heddle.Invoke{}, &heddle.Invoke{Event: raw("http"), Window: -1}},
	{"invoke without window credit", heddle.V1, "93 02 00 92 a4 68747470 00",
		func(b []byte) []byte { return AppendInvoke(b, heddle.V1, 2, "http", 0) },
		2, 0, &heddle.Invoke{}, &heddle.Invoke{Event: raw("http"), Window: 0}},
	{"chunk", heddle.V0, "93 04 07 91 a2 6869", func(b []byte) []byte { return AppendChunk(b, heddle.V0, 7, []byte("hi")) },
		7, 4, &heddle.Chunk{}, &heddle.Chunk{Data: raw("hi")}},
	{"chunk", heddle.V1, "93 ce00010000 00 91 a2 6869", func(b []byte) []byte { return AppendChunk(b, heddle.V1, 65536, []byte("hi")) },
		65536, 0, &heddle.Chunk{}, &heddle.Chunk{Data: raw("hi")}},
	{"chunk of 32", heddle.V1, "93 07 00 91 da0020" + strings.Repeat("78", 32),
		func(b []byte) []byte { return AppendChunk(b, heddle.V1, 7, []byte(strings.Repeat("x", 32))) },
		7, 0, &heddle.Chunk{}, &heddle.Chunk{Data: raw(strings.Repeat("x", 32))}},
	{"chunk of 64 KiB", heddle.V1, "93 07 00 91 db00010000" + strings.Repeat("78", 65536),
		func(b []byte) []byte { return AppendChunk(b, heddle.V1, 7, []byte(strings.Repeat("x", 65536))) },
		7, 0, &heddle.Chunk{}, &heddle.Chunk{Data: raw(strings.Repeat("x", 65536))}},
	{"choke", heddle.V0, "93 06 07 90", func(b []byte) []byte { return AppendChoke(b, heddle.V0, 7) },
		7, 6, &heddle.Empty{}, &heddle.Empty{}},
	{"choke", heddle.V1, "93 07 02 90", func(b []byte) []byte { return AppendChoke(b, heddle.V1, 7) },
		7, 2, &heddle.Empty{}, &heddle.Empty{}},
	{"error", heddle.V0, "93 05 07 92 d09c a2 6e6f", func(b []byte) []byte { return AppendError(b, heddle.V0, 7, 42, -100, "no") },
		7, 5, &heddle.ErrorV0{}, &heddle.ErrorV0{Code: -100, Reason: raw("no")}},
	{"error of another id", heddle.V1, "93 07 05 92 92 2a ccc8 a2 6e6f", func(b []byte) []byte {
		return AppendErrorArgs(AppendMethod(b, heddle.V1, 7, 5, nil), 42, 200, "no")
	},
		7, 5, &heddle.ErrorV1{}, &heddle.ErrorV1{Code: heddle.ErrorCode{Category: 42, Code: 200}, Reason: raw("no")}},
	{"error", heddle.V1, "93 07 01 92 92 2a ccc8 a2 6e6f", func(b []byte) []byte { return AppendError(b, heddle.V1, 7, 42, 200, "no") },
		7, 1, &heddle.ErrorV1{}, &heddle.ErrorV1{Code: heddle.ErrorCode{Category: 42, Code: 200}, Reason: raw("no")}},
	{"window", heddle.V1, "93 07 10 91 cd8000", func(b []byte) []byte { return AppendWindow(b, 7, 32768) },
		7, 16, &heddle.Window{}, &heddle.Window{Bytes: 32768}},
	{"cancel", heddle.V1, "93 07 11 92 92 01 68 a5 7265736574", func(b []byte) []byte { return AppendCancel(b, 7, 1, 104, "reset") },
		7, 17, &heddle.ErrorV1{}, &heddle.ErrorV1{Code: heddle.ErrorCode{Category: 1, Code: 104}, Reason: raw("reset")}},
	{"files", heddle.V1, "93 07 12 91 10", func(b []byte) []byte { return AppendFiles(b, 7, 16) },
		7, 18, &heddle.Files{}, &heddle.Files{Count: 16}},
	{"info", heddle.V1, "93 07 13 92 67 91 92 a46c696e6b a161", func(b []byte) []byte {
		args := AppendResponseHead(nil, &heddle.ResponseHead{Code: 103, Headers: []heddle.Header{{Name: raw("link"), Value: raw("a")}}})
		return AppendExtension(b, 7, heddle.ExtInfo, args)
	}, 7, 19, &heddle.Info{}, &heddle.Info{Code: 103, Headers: []heddle.Header{{Name: raw("link"), Value: raw("a")}}}},
	{"trailers", heddle.V1, "93 07 14 91 91 92 a161 a162", func(b []byte) []byte {
		args, _ := (&heddle.Trailers{Headers: []heddle.Header{{Name: raw("a"), Value: raw("b")}}}).MarshalMsg(nil)
		return AppendExtension(b, 7, heddle.ExtTrailers, args)
	}, 7, 20, &heddle.Trailers{}, &heddle.Trailers{Headers: []heddle.Header{{Name: raw("a"), Value: raw("b")}}}},
	{"gone", heddle.V1, "93 07 15 90", func(b []byte) []byte { return AppendGone(b, 7) }, 7, 21, &heddle.Empty{}, &heddle.Empty{}},
	{"welcome", heddle.V1, "93 01 10 91 89 a86665617475726573 90 a56672616d65 01 a468656164 02 a873657373696f6e73 03 a677696e646f77 04" +
		"a9656e64706f696e7473 91a161 a5696e646578 05 a772656c65617365 a172 a973757370656e646564 c3",
		func(b []byte) []byte {
			return AppendWelcome(b, &heddle.WelcomeInfo{Frame: 1, Head: 2, Sessions: 3, Window: 4, Endpoints: []heddle.Raw{raw("a")}, Index: 5, Release: raw("r"), Suspended: true})
		},
		1, 16, &heddle.Welcome{}, &heddle.Welcome{Welcome: heddle.WelcomeInfo{Frame: 1, Head: 2, Sessions: 3, Window: 4, Endpoints: []heddle.Raw{raw("a")}, Index: 5, Release: raw("r"), Suspended: true}}},
	{"online", heddle.V1, "93 01 11 90", func(b []byte) []byte { return AppendControl(b, heddle.CtlOnline) }, 1, 17, &heddle.Empty{}, &heddle.Empty{}},
	{"broken", heddle.V1, "93 01 12 91 a162", func(b []byte) []byte { return AppendReason(b, heddle.CtlBroken, "b") },
		1, 18, &heddle.Reason{}, &heddle.Reason{Reason: raw("b")}},
	{"drain", heddle.V1, "93 01 15 91 cd2710", func(b []byte) []byte { return AppendDrain(b, 10000) },
		1, 21, &heddle.Drain{}, &heddle.Drain{Deadline: 10000}},
	{"suspend", heddle.V1, "93 01 13 90", func(b []byte) []byte { return AppendControl(b, heddle.CtlSuspend) }, 1, 19, &heddle.Empty{}, &heddle.Empty{}},
	{"resume", heddle.V1, "93 01 14 90", func(b []byte) []byte { return AppendResume(b, -1) },
		1, 20, &heddle.Resume{}, &heddle.Resume{Index: -1}},
	{"resume of the first", heddle.V1, "93 01 14 91 00", func(b []byte) []byte { return AppendResume(b, 0) },
		1, 20, &heddle.Resume{}, &heddle.Resume{Index: 0}},
	{"resume of one of many", heddle.V1, "93 01 14 91 cd012c", func(b []byte) []byte { return AppendResume(b, 300) },
		1, 20, &heddle.Resume{}, &heddle.Resume{Index: 300}},
	{"leaving", heddle.V1, "93 01 16 91 a0", func(b []byte) []byte { return AppendReason(b, heddle.CtlLeaving, "") },
		1, 22, &heddle.Reason{}, &heddle.Reason{}},
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	s = strings.ReplaceAll(strings.ReplaceAll(s, "UUID", hex.EncodeToString([]byte(uuid))), " ", "")
	p, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestMessages(t *testing.T) {
	for _, m := range messages {
		t.Run(m.dialect.String()+" "+m.name, func(t *testing.T) {
			wire := unhex(t, m.hex)
			if got := m.append([]byte("before")); !bytes.Equal(got, append([]byte("before"), wire...)) {
				t.Errorf("appended %x, want %x", got[6:], wire)
			}
			f, n, err := NewDecoder(m.dialect, Limits{}).Next(wire)
			if err != nil || n != len(wire) || f.Session != m.session || f.Type != m.typ {
				t.Fatalf("Next gives %+v, %d, %v for %x", f, n, err, wire)
			}
			if err := DecodeArgs(m.into, f.Args, 0); err != nil {
				t.Fatalf("arguments %x: %v", f.Args, err)
			}
			if d := cmp.Diff(m.want, m.into, cmpopts.EquateEmpty()); d != "" {
				t.Errorf("decoded (-want +got):\n%s", d)
			}
			assertOldSpec(t, wire)
		})
	}
}

func TestAppendHeaders(t *testing.T) {
	head := "before"
	b := AppendChunk([]byte(head), heddle.V1, 7, []byte("x"))
	b = AppendHeaders(b, len(head), []Header{{[]byte("trace_id"), []byte("12345678")}})
	if want := unhex(t, "94 07 00 91 a178 91 93 c2 a874726163655f6964 a83132333435363738"); !bytes.Equal(b[len(head):], want) {
		t.Errorf("got %x, want %x", b[len(head):], want)
	}
	hs := make([]Header, 20)
	b = AppendHeaders(AppendHeartbeat(nil, heddle.V1), 0, hs)
	f, decoded, err := decodeWhole(heddle.V1, b, new(HeaderTable))
	if err != nil || len(decoded) != 20 || f.Headers[0] != 0xdc {
		t.Errorf("20 headers: got %d, %v", len(decoded), err)
	}
	defer func() {
		if recover() == nil {
			t.Error("a second AppendHeaders did not panic")
		}
	}()
	AppendHeaders(b, 0, hs)
}

func TestAppendNumbers(t *testing.T) {
	for _, c := range []struct {
		n   int64
		hex string
	}{
		{0, "00"}, {127, "7f"}, {128, "cc80"}, {255, "ccff"}, {256, "cd0100"}, {65535, "cdffff"}, {65536, "ce00010000"}, {1 << 32, "cf0000000100000000"},
		{-1, "ff"}, {-32, "e0"}, {-33, "d0df"}, {-128, "d080"}, {-129, "d1ff7f"}, {-32769, "d2ffff7fff"}, {-1 << 31, "d280000000"}, {-1<<31 - 1, "d3ffffffff7fffffff"},
	} {
		if got := hex.EncodeToString(appendInt(nil, c.n)); got != c.hex {
			t.Errorf("%d becomes %s, want %s", c.n, got, c.hex)
		}
	}
	for _, c := range []struct {
		n   int
		hex string
	}{{0, "90"}, {15, "9f"}, {16, "dc0010"}, {65535, "dcffff"}, {65536, "dd00010000"}} {
		if got := hex.EncodeToString(AppendArray(nil, c.n)); got != c.hex {
			t.Errorf("array of %d becomes %s, want %s", c.n, got, c.hex)
		}
	}
}

// assertOldSpec fails if a value in p begins with a byte that the msgpack of 2012 does not have.
func assertOldSpec(t testing.TB, p []byte) {
	t.Helper()
	for off := 0; off < len(p); {
		if c := p[off]; c >= 0xc4 && c <= 0xc9 || c >= 0xd4 && c <= 0xd9 || c == 0xc1 {
			t.Fatalf("byte %d of %x is %#02x", off, p, c)
		}
		size, _, err := heddle.Head(p[off:])
		if err != nil {
			t.Fatalf("byte %d of %x: %v", off, p, err)
		}
		off += int(size)
	}
}
