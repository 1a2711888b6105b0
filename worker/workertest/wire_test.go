package workertest

import (
	"bytes"
	"encoding/hex"
	"os"
	"strings"
	"testing"

	heddle "github.com/heddle-go/heddle"
	"github.com/tinylib/msgp/msgp"
)

// A captured is a row of codec/testdata/cocaine.tsv that has bytes.
type captured struct {
	row                 int
	dialect             heddle.Dialect
	direction, typ      string
	verdict, form, what string
	bytes               []byte
}

func loadCaptured(t testing.TB) (all []captured) {
	t.Helper()
	text, err := os.ReadFile("../../codec/testdata/cocaine.tsv")
	if err != nil {
		t.Fatal(err)
	}
	for i, line := range strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")[1:] {
		c := strings.Split(line, "\t")
		if c[1] != "frame" {
			continue
		}
		p, err := hex.DecodeString(c[11])
		if err != nil {
			t.Fatal(err)
		}
		x := captured{row: i, direction: c[4], typ: c[5], verdict: c[9], form: c[10], what: c[12], bytes: p}
		if c[3] == "v1" {
			x.dialect = heddle.V1
		}
		all = append(all, x)
	}
	return all
}

// TestReadCaptured: every captured frame is read to its end, and only those are noted
// as long or of the new spec that are.
func TestReadCaptured(t *testing.T) {
	noted := 0
	for _, x := range loadCaptured(t) {
		var s slips
		v, rest, err := readValue(x.bytes, 0, &s)
		if err != nil || len(rest) > 0 || v.kind != kindArray || !bytes.Equal(v.bytes, x.bytes) {
			t.Errorf("row %d: %v, %d bytes left of %x", x.row, err, len(rest), x.bytes)
		}
		for n := range x.bytes {
			if _, _, err := readValue(x.bytes[:n], 0, new(slips)); err != errShort {
				t.Errorf("row %d, %d bytes of it: got %v", x.row, n, err)
			}
		}
		if s.wide || s.newSpec {
			noted++
		}
		if want := x.form == "wide"; want != (s.wide || s.newSpec) {
			t.Errorf("row %d (%s): noted %+v, but it is %q", x.row, x.what, s, x.form)
		}
	}
	if noted != 4 {
		t.Errorf("%d rows are noted, want 4", noted)
	}
}

// TestRealWorkersBreakNoRule: no frame that a real worker sent is wrong by itself.
func TestRealWorkersBreakNoRule(t *testing.T) {
	seen := 0
	for _, x := range loadCaptured(t) {
		if !strings.HasPrefix(x.direction, "worker->engine") {
			continue
		}
		seen++
		v := Runtime011
		if x.dialect == heddle.V1 {
			v = Runtime012
		}
		r := NewRuntime(t, v, RuntimeOptions{Network: Memory, Report: func(v Violation) {
			if !v.Drops && v.Rule == RuleNoChoke { // the choke is another row
				return
			}
			t.Errorf("row %d (%s): %v", x.row, x.what, v)
		}})
		p := &peer{r: r, shut: func() {}, send: func([]byte) error { return nil }}
		r.mu.Lock()
		p.greeted, p.beaten = true, true
		if x.typ == "handshake" {
			p.greeted = false
			x.bytes = bytes.Replace(x.bytes, x.bytes[bytes.IndexByte(x.bytes, 0xda)+3:][:36], []byte(UUID), 1)
		}
		for id := range uint64(1000) {
			r.calls[id+uint64(v)+1] = &Call{r: r, p: p, id: id}
		}
		p.feedLocked(x.bytes)
		if len(p.in) > 0 {
			t.Errorf("row %d: %d bytes are left", x.row, len(p.in))
		}
		p.endLocked()
		r.mu.Unlock()
		r.Close()
	}
	if seen < 60 {
		t.Errorf("only %d frames of workers", seen)
	}
}

// FuzzRead holds the reader against msgp's.
func FuzzRead(f *testing.F) {
	for _, x := range loadCaptured(f) {
		if x.row%11 == 0 || x.form == "wide" {
			f.Add(x.bytes)
		}
	}
	for _, s := range []string{"dd0fffffff", "df00000001c0c0", "c7020100ff", "d800", "cb4000000000000000", "d3ffffffffffffffff", "c1"} {
		p, _ := hex.DecodeString(s)
		f.Add(p)
	}
	f.Fuzz(func(t *testing.T, p []byte) {
		var s slips
		v, rest, err := readValue(p, 0, &s)
		after, skipErr := msgp.Skip(p)
		switch {
		case err == nil:
			if skipErr != nil || len(after) != len(rest) || len(v.bytes) != len(p)-len(rest) {
				t.Fatalf("%x: %d bytes left; msgp %d, %v", p, len(rest), len(after), skipErr)
			}
		case err == errShort:
			if skipErr == nil {
				t.Fatalf("%x: short; msgp reads it", p)
			}
		}
	})
}
