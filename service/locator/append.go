package locator

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/codec"
	"github.com/heddle-go/heddle/codec/value"
	"github.com/heddle-go/heddle/session"
)

// deepest is how many tables after one another Append writes: Decode reads no
// more, since each is two containers and there are three around them.
const deepest = (heddle.MaxDepth - 3) / 2

// Append appends what Decode reads: of v1 the arguments of the value message, of
// v0 the payload of the one chunk. In v0 it tells the first endpoint only.
// ErrBounds, and an error for v0 without endpoint; dst is then as it was.
func Append(dst []byte, d heddle.Dialect, i *Info) ([]byte, error) {
	if len(i.Endpoints) > MaxEndpoints {
		return dst, fmt.Errorf("%w: over %d endpoints", ErrBounds, MaxEndpoints)
	}
	w := writer{p: append(dst, 0x93)}
	switch {
	case d == heddle.V1:
		w.p = codec.AppendArray(w.p, len(i.Endpoints))
		for _, e := range i.Endpoints {
			w.endpoint(e)
		}
	case len(i.Endpoints) == 0:
		return dst, fmt.Errorf("locator: v0 cannot tell of a service without endpoint")
	default:
		w.endpoint(i.Endpoints[0])
	}
	w.p = appendUint(w.p, i.Version)
	w.graph(d, i)
	if w.err != nil {
		return dst, w.err
	}
	return w.p, nil
}

type writer struct {
	p    []byte
	arms int
	err  error
}

func (w *writer) over(what string, most int) {
	if w.err == nil {
		w.err = fmt.Errorf("%w: over %d %s", ErrBounds, most, what)
	}
}

func (w *writer) text(s, what string, most int) {
	if len(s) > most {
		w.over("bytes of "+what, most)
		return
	}
	w.p = codec.AppendRawString(w.p, s)
}

func (w *writer) endpoint(e Endpoint) {
	w.p = append(w.p, 0x92)
	w.text(e.Host, "a host", MaxHost)
	w.p = appendUint(w.p, uint64(e.Port))
}

func (w *writer) graph(d heddle.Dialect, i *Info) {
	methods := slices.Clone(i.Methods)
	slices.SortStableFunc(methods, byID)
	lists := d == heddle.V1 && i.Controls
	if len(methods) > MaxMethods {
		w.over("methods", MaxMethods)
		return
	}
	n := len(methods)
	if lists {
		n += len(controls)
	}
	w.p = appendMap(w.p, n)
	for _, m := range methods {
		w.p = appendUint(w.p, m.ID)
		if d == heddle.V1 {
			w.p = append(w.p, 0x93)
		}
		w.text(m.Name, "a name", MaxName)
		if d == heddle.V1 {
			w.table(m.Dispatch, 1)
			w.table(m.Upstream, 1)
		}
	}
	w.arms = 0 // these are not counted
	for k := 0; lists && k < len(controls); k++ {
		w.p = append(appendUint(w.p, heddle.MethodGoaway+uint64(k)), 0x93)
		w.text(controls[k], "a name", MaxName)
		w.table(session.Mute, 1)
		w.table(session.Primitive, 1)
	}
}

func (w *writer) table(t *session.Table, depth int) {
	arms := t.Arms()
	if w.arms += len(arms); w.arms > MaxArms {
		w.over("messages", MaxArms)
	}
	if len(arms) > 0 && depth > deepest {
		w.over("tables after one another", deepest)
	}
	if w.err != nil {
		return
	}
	w.p = appendMap(w.p, len(arms))
	for _, a := range arms {
		w.p = append(appendUint(w.p, a.ID), 0x92)
		w.text(a.Name, "a name", MaxName)
		if a.Next == nil {
			w.p = append(w.p, 0xc0)
		} else {
			w.table(a.Next, depth+1)
		}
	}
}

func byID(a, b *session.Method) int { return cmp.Compare(a.ID, b.ID) }

func appendUint(dst []byte, n uint64) []byte {
	dst, _ = value.Append(dst, n) // an integer always has its msgpack
	return dst
}

func appendMap(dst []byte, n int) []byte {
	if n < 16 {
		return append(dst, 0x80|byte(n))
	}
	return append(dst, 0xde, byte(n>>8), byte(n)) // n is within MaxArms
}
