package codec

import (
	"bytes"
	"errors"
	"testing"

	"github.com/heddle-go/heddle"
	"github.com/tinylib/msgp/msgp"
)

// The seeds are the captured frames and the hand-written messages; what fuzzing found is in testdata/fuzz.

func seedFrames(f *testing.F, add func(v1 bool, p []byte)) {
	for _, v := range loadVectors(f) {
		if v.kind == "frame" && v.n%7 == 0 || v.verdict == "refuse" || v.form == "wide" {
			add(v.dialect == heddle.V1, v.bytes)
		}
	}
	for _, m := range messages {
		if p := unhex(f, m.hex); len(p) < 1000 {
			add(m.dialect == heddle.V1, p)
		}
	}
}

// FuzzNext compares the decoder with msgp.Skip and with itself on other cuts.
func FuzzNext(f *testing.F) {
	seedFrames(f, func(v1 bool, p []byte) {
		f.Add(v1, uint8(3), p)
		f.Add(v1, uint8(1), append(bytes.Clone(p), p...))
	})
	f.Fuzz(func(t *testing.T, v1 bool, piece uint8, p []byte) {
		d := heddle.V0
		if v1 {
			d = heddle.V1
		}
		limits := Limits{Frame: 1 << 16}
		dec := NewDecoder(d, limits)
		rest := p
		for {
			fr, n, err := dec.Next(rest)
			after, skipErr := msgp.Skip(rest)
			if err == nil {
				if skipErr != nil || len(rest)-len(after) != n {
					t.Fatalf("took %d of %x, msgp %d, %v", n, rest, len(rest)-len(after), skipErr)
				}
				checkFrame(t, d, fr, rest[:n])
				rest = rest[n:]
				continue
			}
			var syntax *SyntaxError
			switch {
			case err == ErrShort:
				if skipErr != msgp.ErrShortBytes {
					t.Fatalf("short of %x, msgp says %v", rest, skipErr)
				}
				if dec.Need() <= len(rest) {
					t.Fatalf("%d bytes of %x are needed", dec.Need(), rest)
				}
			case errors.As(err, &syntax), errors.Is(err, ErrTooLarge):
			default:
				t.Fatalf("%x: %v", rest, err)
			}
			break
		}
		size := int(piece)%16 + 1
		whole, wholeErr := decodeAll(NewDecoder(d, limits), p, func() int { return len(p) })
		pieces, piecesErr := decodeAll(NewDecoder(d, limits), p, func() int { return size })
		if len(whole) != len(pieces) || wholeErr.Error() != piecesErr.Error() {
			t.Fatalf("%x: %d frames and %v in one piece, %d and %v in pieces of %d", p, len(whole), wholeErr, len(pieces), piecesErr, size)
		}
		for i := range whole {
			if a, b := whole[i], pieces[i]; a.Session != b.Session || a.Type != b.Type || !bytes.Equal(a.Args, b.Args) || !bytes.Equal(a.Headers, b.Headers) {
				t.Fatalf("%x: frame %d is %+v in one piece and %+v in pieces of %d", p, i, a, b, size)
			}
		}
	})
}

// checkFrame compares f with what msgp's generic reader makes of p.
func checkFrame(t *testing.T, d heddle.Dialect, f Frame, p []byte) {
	n, rest, err := msgp.ReadArrayHeaderBytes(p)
	if err != nil || n < 3 || d == heddle.V0 && n != 3 {
		t.Fatalf("%x is a frame of %d elements, %v", p, n, err)
	}
	a, rest, _ := msgp.ReadUint64Bytes(rest)
	b, rest, _ := msgp.ReadUint64Bytes(rest)
	if d == heddle.V0 {
		a, b = b, a
	}
	args, _ := msgp.Skip(rest)
	if f.Session != a || f.Type != b || !bytes.Equal(f.Args, rest[:len(rest)-len(args)]) || msgp.NextType(f.Args) != msgp.ArrayType {
		t.Fatalf("%x is taken for %+v", p, f)
	}
	if n == 3 {
		if f.Headers != nil {
			t.Fatalf("%x has headers %x", p, f.Headers)
		}
		return
	}
	after, _ := msgp.Skip(args)
	if !bytes.Equal(f.Headers, args[:len(args)-len(after)]) || msgp.NextType(f.Headers) != msgp.ArrayType {
		t.Fatalf("%x has headers %x", p, f.Headers)
	}
}

// FuzzDetect: whatever is a frame of either dialect has the dialect that its first element says.
func FuzzDetect(f *testing.F) {
	seedFrames(f, func(_ bool, p []byte) { f.Add(p) })
	f.Fuzz(func(t *testing.T, p []byte) {
		d, err := Detect(p)
		if err == ErrShort {
			return
		}
		for _, other := range dialects {
			fr, _, nextErr := NewDecoder(other, Limits{}).Next(p)
			if nextErr != nil {
				continue
			}
			if err != nil {
				t.Fatalf("%x is a %v frame, Detect says %v", p, other, err)
			}
			first := fr.Session
			if other == heddle.V0 {
				first = fr.Type
			}
			if (first == 0) != (d == heddle.V0) {
				t.Fatalf("%x begins with %d, Detect says %v", p, first, d)
			}
		}
	})
}

// FuzzHeaderTable gives one table two frames.
func FuzzHeaderTable(f *testing.F) {
	for _, v := range loadVectors(f) {
		if v.dialect == heddle.V1 && v.kind == "frame" {
			if fr, _, err := NewDecoder(v.dialect, Limits{}).Next(v.bytes); err == nil && fr.Headers != nil && v.n%5 == 0 {
				f.Add(fr.Headers, []byte{0x92, 83, 84})
			}
		}
	}
	f.Add([]byte{0x92, 0x93, 0xc3, 80, 0xa1, 'x', 0x93, 0xc3, 83, 0xa1, 'y'}, []byte{0x93, 83, 84, 82})
	f.Fuzz(func(t *testing.T, p, q []byte) {
		var table HeaderTable
		for _, raw := range [][]byte{p, q} {
			hs, err := table.Decode(nil, raw)
			if err != nil {
				var syntax *SyntaxError
				if len(hs) != 0 || !errors.As(err, &syntax) && !errors.Is(err, ErrTooLarge) {
					t.Fatalf("%x: %d headers and %v", raw, len(hs), err)
				}
				return
			}
			total := 0
			for _, h := range hs {
				total += len(h.Name) + len(h.Value) + entryCost
			}
			if len(hs) > MaxHeaders || total > MaxHeaderBytes {
				t.Fatalf("%x: %d headers of %d bytes", raw, len(hs), total)
			}
			if len(raw) > 0 {
				if n, _, _ := msgp.ReadArrayHeaderBytes(raw); int(n) != len(hs) {
					t.Fatalf("%x: %d headers of %d", raw, len(hs), n)
				}
			}
			cost := 0
			for i := range table.count {
				h := table.ring[(table.first+i)%maxEntries]
				cost += len(h.Name) + len(h.Value) + entryCost
			}
			if cost != table.bytes || cost > tableBytes {
				t.Fatalf("%x: the table has %d bytes, counts %d", raw, cost, table.bytes)
			}
			// What was decoded decodes again from plain literals.
			again, err := new(HeaderTable).Decode(nil, AppendHeaders([]byte{0x93}, 0, hs)[1:])
			if err != nil || len(again) != len(hs) {
				t.Fatalf("%x: again %d headers, %v", raw, len(again), err)
			}
			for i := range hs {
				if !bytes.Equal(hs[i].Name, again[i].Name) || !bytes.Equal(hs[i].Value, again[i].Value) {
					t.Fatalf("%x: header %d is %q and again %q", raw, i, hs[i], again[i])
				}
			}
		}
	})
}

// FuzzRequestHead: a head that decodes is whole for msgp.Skip too, and decodes to itself when written again.
func FuzzRequestHead(f *testing.F) {
	f.Add(AppendRequestHead(nil, requestHead(2), true))
	f.Add(AppendRequestHead(nil, requestHead(2), false))
	f.Add(unhex(f, "95 a4504f5354 a62f783f793d31 a3312e31 91 92 a4486f7374 a161 a5626f647921"))
	f.Fuzz(func(t *testing.T, p []byte) {
		var h, again heddle.RequestHead
		rest, skipErr := msgp.Skip(p)
		switch err := DecodeRequestHead(&h, p); {
		case err == ErrShort && skipErr != msgp.ErrShortBytes, err == nil && (skipErr != nil || len(rest) > 0):
			t.Fatalf("%x: %v, msgp %v with %d left", p, err, skipErr, len(rest))
		case err != nil:
			return
		}
		q := AppendRequestHead(nil, &h, false)
		assertOldSpec(t, q)
		if err := DecodeRequestHead(&again, q); err != nil {
			t.Fatalf("%x becomes %x: %v", p, q, err)
		}
		if r := AppendRequestHead(nil, &again, false); !bytes.Equal(q, r) {
			t.Fatalf("%x becomes %x, and then %x", p, q, r)
		}
	})
}

// FuzzResponseHead is FuzzRequestHead for responses.
func FuzzResponseHead(f *testing.F) {
	f.Add(AppendResponseHead(nil, &heddle.ResponseHead{Code: 200, Headers: requestHead(2).Headers}))
	f.Add(unhex(f, "92 ccc9 91 92 aa582d4563686f2d55726c a62f783f793d31"))
	f.Fuzz(func(t *testing.T, p []byte) {
		var h, again heddle.ResponseHead
		rest, skipErr := msgp.Skip(p)
		switch err := DecodeResponseHead(&h, p); {
		case err == ErrShort && skipErr != msgp.ErrShortBytes, err == nil && (skipErr != nil || len(rest) > 0):
			t.Fatalf("%x: %v, msgp %v with %d left", p, err, skipErr, len(rest))
		case err != nil:
			return
		}
		q := AppendResponseHead(nil, &h)
		assertOldSpec(t, q)
		if err := DecodeResponseHead(&again, q); err != nil || !bytes.Equal(q, AppendResponseHead(nil, &again)) {
			t.Fatalf("%x becomes %x: %v", p, q, err)
		}
	})
}

// FuzzArgs decodes any argument list into every message.
func FuzzArgs(f *testing.F) {
	for _, m := range messages {
		if p := unhex(f, m.hex); len(p) < 1000 {
			if fr, _, err := NewDecoder(m.dialect, Limits{}).Next(p); err == nil {
				f.Add(fr.Args)
			}
		}
	}
	f.Fuzz(func(t *testing.T, p []byte) {
		var v heddle.Value
		rest, err := v.UnmarshalMsg(p)
		if after, skipErr := msgp.Skip(p); err == nil && (skipErr != nil || len(after) != len(rest)) {
			t.Fatalf("%x: %d bytes left, msgp %d and %v", p, len(rest), len(after), skipErr)
		}
		if err != nil || len(rest) > 0 || !isArray(v) {
			return // no argument list of a frame
		}
		for _, m := range []interface {
			Message
			msgp.Marshaler
		}{
			&heddle.Handshake{}, &heddle.Terminate{}, &heddle.Invoke{}, &heddle.Chunk{}, &heddle.ErrorV0{}, &heddle.ErrorV1{}, &heddle.Empty{},
			&heddle.Window{}, &heddle.Files{}, &heddle.Drain{}, &heddle.Reason{}, &heddle.Welcome{}, &heddle.Info{}, &heddle.Trailers{},
		} {
			var syntax *SyntaxError
			if err := DecodeArgs(m, p, 0); err != nil {
				if !errors.As(err, &syntax) {
					t.Fatalf("%T from %x: %v", m, p, err)
				}
				continue
			}
			q, err := m.MarshalMsg(nil)
			if err != nil {
				t.Fatalf("%T from %x: %v", m, p, err)
			}
			assertOldSpec(t, q)
			if err := DecodeArgs(m, q, 0); err != nil {
				t.Fatalf("%T from %x becomes %x: %v", m, p, q, err)
			}
			if r, _ := m.MarshalMsg(nil); !bytes.Equal(q, r) {
				t.Fatalf("%T from %x becomes %x, and then %x", m, p, q, r)
			}
		}
	})
}
