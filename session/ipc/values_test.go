package ipc

import (
	"context"
	"errors"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/codec/value"
)

type byField struct {
	Name  string            `msg:"name"`
	Tags  map[string]string `msg:"tags,omitempty"`
	Inner *byField          `msg:"inner,omitempty"`
}

type asTuple struct {
	_    struct{} `msg:",tuple"`
	X, Y int
	At   time.Time
}

// S21: without Values of one's own, Go values go through package codec/value: each
// arrives as what it was, and comes back.
func TestValues(t *testing.T) {
	at := time.Date(2024, 2, 29, 12, 30, 0, 123456789, time.UTC)
	synctest.Test(t, func(t *testing.T) {
		here, there := NewHub(HubOptions{}), NewHub(HubOptions{})
		sa, _ := join(t, here, there)
		for _, v := range []any{
			true, -7, uint64(1) << 63, 1.5, "é\x00", []byte{0, 0xff}, at, []string{"a", ""}, [3]uint8{1, 2, 3},
			map[string]int{"a": 1, "": -1}, map[int64]string{-5: "x"}, []any{nil, int64(3), "x", []byte("y"), map[string]any{"t": at}},
			byField{"outer", map[string]string{"k": "v"}, &byField{Name: "inner"}}, asTuple{X: 1, Y: -2, At: at},
			heddle.Window{Bytes: 5},
		} {
			typ := reflect.TypeOf(v)
			there.Default().Handle("back", func(_ context.Context, r *Received) error {
				got := reflect.New(typ)
				if err := r.Decode(got.Interface()); err != nil {
					return err
				}
				return r.Reply(Value(got.Elem().Interface()))
			})
			r, err := sa.peer.Ask(t.Context(), Message{Topic: "back", Body: Value(v)})
			if err != nil || r.Format != FormatValue {
				t.Errorf("%T: got format %d, %v", v, r.Format, err)
				continue
			}
			got := reflect.New(typ)
			if err := r.Decode(got.Interface()); err != nil {
				t.Errorf("%T: %v", v, err)
			}
			if d := cmp.Diff(v, got.Elem().Interface(), cmp.Exporter(func(reflect.Type) bool { return true })); d != "" {
				t.Errorf("%T (-want +got):\n%s", v, d)
			}
		}
	})
}

// What cannot travel is an error that names its type, and nothing is sent.
func TestValuesRefused(t *testing.T) {
	h := NewHub(HubOptions{MaxMessage: 1000})
	w := new(slate)
	p, err := h.AttachWire(w, PeerInfo{})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		v    any
		want string
	}{
		{make(chan int), "chan int"}, {func() {}, "func()"}, {complex(1, 1), "complex128"}, {byField{}.at, "func() int"},
		{map[string]any{"a": []any{struct{ c chan bool }{}}}, `struct { c chan bool } at ["a"][0]`},
	} {
		err := p.Post(t.Context(), Message{Body: Value(tt.v)})
		var te *value.TypeError
		if !errors.As(err, &te) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%T: got %v, want %s", tt.v, err, tt.want)
		}
	}
	if err := p.Post(t.Context(), Message{Body: Value(strings.Repeat("x", 1001))}); !errors.Is(err, ErrTooLarge) {
		t.Errorf("got %v", err)
	}
	w.want(t)
	var n int
	if err := h.decode(FormatValue, []byte{1, 2}, &n); err == nil {
		t.Error("what is behind a value goes unnoticed")
	}
	if err := h.decode(FormatValue, []byte("\xa1x"), &n); !errors.As(err, new(*value.TypeError)) {
		t.Errorf("got %v", err)
	}
}

func (byField) at() int { return 0 }
