package ipc

import (
	"bytes"
	"math"
	"testing"
)

var someRecords = []record{
	{topic: []byte("t")},
	{seq: 1, topic: []byte("none"), format: FormatBytes, payload: []byte("x")},
	{seq: 128, topic: bytes.Repeat([]byte("t"), MaxName), files: MaxFiles, format: FormatJSON, payload: bytes.Repeat([]byte("p"), 200)},
	{seq: math.MaxUint64, topic: []byte("\x00"), format: FormatValue, payload: make([]byte, 70_000)},
	{seq: 70_000, payload: []byte{}},
}

// Cut at every byte a record is short, and what it needs is never more than it has.
func TestRecordCutAtEveryByte(t *testing.T) {
	for i, r := range someRecords {
		p := appendRecord(nil, &r)
		got, n, err := nextRecord(append(p, 0xff), 1<<20)
		if err != nil || n != len(p) || got.seq != r.seq || got.files != r.files || got.format != r.format || !bytes.Equal(got.topic, r.topic) || !bytes.Equal(got.payload, r.payload) {
			t.Errorf("%d: got %+v, %d, %v", i, got, n, err)
		}
		for cut := range p {
			if _, need, err := nextRecord(p[:cut], 1<<20); err != errShort || need <= cut || need > len(p) {
				t.Fatalf("%d cut at %d of %d: needs %d, %v", i, cut, len(p), need, err)
			}
		}
		if len(p) > len(r.topic)+len(r.payload)+recordMost {
			t.Errorf("%d: %d bytes are more than was said", i, len(p))
		}
	}
	for _, a := range []ackRecord{{seq: 1}, {seq: 300, format: FormatBytes, data: []byte("x")}, {seq: 1 << 40, failed: true, category: -5, code: math.MinInt64, data: []byte("no")}, {seq: 2, failed: true, category: 0x52ff, code: -200}} {
		p := appendAck(nil, &a)
		got, n, err := nextAck(append(p, 0xff), 1<<20)
		if err != nil || n != len(p) || got.seq != a.seq || got.failed != a.failed || got.category != a.category || got.code != a.code || got.format != a.format || !bytes.Equal(got.data, a.data) {
			t.Errorf("got %+v, %d, %v, want %+v", got, n, err, a)
		}
		for cut := range p {
			if _, _, err := nextAck(p[:cut], 1<<20); err != errShort {
				t.Errorf("%+v cut at %d: %v", a, cut, err)
			}
		}
	}
}

// FuzzRecord: whatever a peer sends is a record, too short, or an error; a record
// says the same when it is written again, and nothing is longer than it may be.
func FuzzRecord(f *testing.F) {
	for _, r := range someRecords[:3] {
		f.Add(appendRecord(nil, &r))
	}
	f.Add(appendAck(nil, &ackRecord{seq: 7, failed: true, category: -1, code: 3, data: []byte("x")}))
	f.Add(appendAck(nil, &ackRecord{seq: 7, format: FormatJSON, data: []byte("{}")}))
	f.Add(appendReply(nil, FormatBytes, []byte("x")))
	f.Add(appendNames(nil, []string{"a", "_"}))
	f.Add([]byte("\x95\xcf\xff\xff\xff\xff\xff\xff\xff\xff\xc6\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, p []byte) {
		const limit = 1000
		if r, n, err := nextRecord(p, limit); err == nil {
			again, _, err := nextRecord(appendRecord(nil, &r), limit)
			if err != nil || n > len(p) || again.seq != r.seq || again.files != r.files || again.format != r.format || !bytes.Equal(again.topic, r.topic) || !bytes.Equal(again.payload, r.payload) {
				t.Errorf("%x: %+v, and again %+v, %v", p, r, again, err)
			}
			if len(r.payload) > limit || len(r.topic) > MaxName || r.files > MaxFiles || r.format > lastFormat {
				t.Errorf("%x: %+v is over the limits", p, r)
			}
		} else if err == errShort && (n <= len(p) || n > len(p)+limit+recordMost) {
			t.Errorf("%x: %d bytes, and %d are needed", p, len(p), n)
		}
		if a, n, err := nextAck(p, limit); err == nil {
			again, _, err := nextAck(appendAck(nil, &a), limit)
			if err != nil || n > len(p) || again.seq != a.seq || again.category != a.category || again.code != a.code || again.format != a.format || !bytes.Equal(again.data, a.data) {
				t.Errorf("%x: %+v, and again %+v, %v", p, a, again, err)
			}
		}
		if format, data, n, err := nextReply(p, limit); err == nil && (n > len(p) || len(data) > limit || format > lastFormat) {
			t.Errorf("%x: %d, %d bytes, %d", p, format, len(data), n)
		}
		if names, err := readNames(p); err == nil && len(names) > mostNamed {
			t.Errorf("%x: %d names", p, len(names))
		}
	})
}
