//go:build !race && !loopcheck

package value_test

import (
	"testing"
	"time"

	"github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/codec/value"
)

func TestNoAllocations(t *testing.T) {
	type small struct {
		ID    uint64
		Name  string
		Score float64
		Tags  []string
		At    time.Time
		Code  heddle.ErrorCode // by its own methods
	}
	v := &small{ID: 7, Name: "name", Score: 1.5, Tags: []string{"a", "b"}, At: when}
	dst := make([]byte, 0, 512)
	must := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	p, err := value.Append(nil, v)
	must(err)
	numbers, err := value.Append(nil, []int{1, 2, 300})
	must(err)
	var n struct {
		i  int
		s  []int
		b  bool
		f  float64
		by []byte
		t  time.Time
	}
	n.s, n.by = make([]int, 3), make([]byte, 8)
	var text any = "text"
	var data any = []byte("data")
	var big any = 1 << 40
	natural := map[string]any{"a": 1, "b": []any{"x", nil, true}}
	seven, yes, x, at := []byte{7}, []byte{0xc3}, []byte{0xa1, 'x'}, []byte{0xd6, 0xff, 0, 0, 0, 1}
	for name, row := range map[string]struct {
		most float64
		f    func()
	}{
		"append int":    {0, func() { _, err := value.Append(dst, big); must(err) }},
		"append string": {0, func() { _, err := value.Append(dst, text); must(err) }},
		"append bytes":  {0, func() { _, err := value.Append(dst, data); must(err) }},
		"append struct": {0, func() { _, err := value.Append(dst, v); must(err) }},
		"append any":    {0, func() { _, err := value.Append(dst, natural); must(err) }},
		"int":           {0, func() { _, err := value.Decode(seven, &n.i, value.Limits{}); must(err) }},
		"bool":          {0, func() { _, err := value.Decode(yes, &n.b, value.Limits{}); must(err) }},
		"ints":          {0, func() { _, err := value.Decode(numbers, &n.s, value.Limits{}); must(err) }},
		"bytes":         {0, func() { _, err := value.Decode(x, &n.by, value.Limits{}); must(err) }},
		"time":          {0, func() { _, err := value.Decode(at, &n.t, value.Limits{}); must(err) }},
		"struct":        {3, func() { _, err := value.Decode(p, v, value.Limits{}); must(err) }}, // its three strings
	} {
		row.f()
		if got := testing.AllocsPerRun(100, row.f); got > row.most {
			t.Errorf("%s: got %v allocations, want at most %v", name, got, row.most)
		}
	}
}
