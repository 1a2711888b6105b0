package session

import (
	"io"
	"reflect"
	"sync"
	"sync/atomic"
	"testing"
	"unsafe"

	heddle "github.com/heddle-go/heddle"
)

// fillFields sets every field of v, the mutexes left aside, to something that
// is not its zero value.
func fillFields(v reflect.Value) {
	for i := range v.NumField() {
		f := reflect.NewAt(v.Type().Field(i).Type, unsafe.Pointer(v.Field(i).UnsafeAddr())).Elem()
		switch f.Kind() {
		case reflect.Struct:
			if f.Type() != reflect.TypeFor[sync.Mutex]() && f.Type().PkgPath() == v.Type().PkgPath() {
				fillFields(f)
			}
		case reflect.Int64, reflect.Int:
			f.SetInt(1)
		case reflect.Uint64, reflect.Uint8:
			f.SetUint(1)
		case reflect.Bool:
			f.SetBool(true)
		case reflect.String:
			f.SetString("x")
		case reflect.Slice:
			f.Set(reflect.MakeSlice(f.Type(), 1, 1))
		case reflect.Map:
			f.Set(reflect.MakeMap(f.Type()))
		case reflect.Chan:
			f.Set(reflect.MakeChan(f.Type(), 1))
		case reflect.Pointer:
			f.Set(reflect.New(f.Type().Elem()))
		case reflect.Interface:
			if f.Type() == reflect.TypeFor[error]() {
				f.Set(reflect.ValueOf(io.EOF))
			}
		}
	}
}

// dirtyFields are those that are not their zero value.
func dirtyFields(v reflect.Value, in string) (names []string) {
	for i := range v.NumField() {
		name := in + v.Type().Field(i).Name
		f := v.Field(i)
		switch {
		case f.Type() == reflect.TypeFor[sync.Mutex](), name == "scratch":
		case f.Kind() == reflect.Struct && f.Type().PkgPath() == v.Type().PkgPath():
			names = append(names, dirtyFields(f, name+".")...)
		case !f.IsZero():
			names = append(names, name)
		}
	}
	return names
}

// A session that is opened again knows nothing of what it was before.
func TestReset(t *testing.T) {
	s := new(Session)
	v := reflect.ValueOf(s).Elem()
	fillFields(v)
	if n := len(dirtyFields(v, "")); n < 35 {
		t.Fatalf("filled %d fields", n)
	}
	s.q.files = nil
	s.reset()
	for _, name := range dirtyFields(v, "") {
		if name != "ctx.of" { // is the session itself, always
			t.Errorf("%s is left", name)
		}
	}
}

// takes is a Link that takes everything.
type takes struct {
	Link
	sent atomic.Int64
}

func (l *takes) Written() int64           { return l.sent.Load() }
func (l *takes) Queued() int              { return 0 }
func (l *takes) Abort(error)              {}
func (l *takes) SendControl([]byte) error { return nil }
func (l *takes) Send(head, body []byte) (int64, error) {
	return l.sent.Add(int64(len(head) + len(body))), nil
}

type ends struct {
	when func(s *Session)
	errs []error
}

func (h *ends) OnMessage(*Session, Message) {}
func (h *ends) OnWritable(*Session)         {}
func (h *ends) OnEnd(s *Session, err error) {
	h.errs = append(h.errs, err)
	if h.when != nil {
		h.when(s)
	}
}

// A session that its handler has released is opened again once it is over, and
// never sooner; what comes for it meanwhile reaches nobody.
func TestRelease(t *testing.T) {
	m := NewMux(new(takes), Options{ChannelOptions: ChannelOptions{Dialect: heddle.V1, Heddle: true}})
	open := func(h Handler, last bool) *Session {
		t.Helper()
		s, err := m.Open(OpenOptions{Event: "e", Handler: h, Last: last})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	r := (*receiver)(m)

	h := &ends{when: (*Session).Release}
	one := open(h, true)
	id := one.ID()
	_ = r.OnChunk(id, []byte("x"))
	_ = r.OnChoke(id)
	two := open(&ends{}, true)
	if one != two || two.ID() == id || len(h.errs) != 1 || h.errs[0] != nil {
		t.Errorf("not opened again: %v, ids %d and %d, ends %v", one != two, id, two.ID(), h.errs)
	}

	// Cancelled, and the peer takes its time to end it.
	two.Cancel(io.EOF)
	two.Release()
	three := open(&ends{}, true)
	if three == two {
		t.Error("opened again although the peer has not ended it")
	}
	_ = r.OnChunk(two.ID(), []byte("late"))
	_ = r.OnChoke(two.ID())
	if four := open(&ends{}, true); four != two {
		t.Error("not opened again after the peer's end")
	}

	// Our direction ends last: the table follows later, and so does the reuse.
	h = &ends{}
	five := open(h, false)
	five.rx, five.rxErr = dirEnded, io.EOF // as if endRx had left ours open
	_ = five.Close()
	five.Release()
	if six := open(&ends{}, true); six == five {
		t.Error("opened again while it was in the table")
	}
	m.reap()
	if six := open(&ends{}, true); six != five {
		t.Error("not opened again")
	}
	if m.sessions[five.id] == nil && m.lookup(five.id) != five {
		t.Error("the table has lost it")
	}

	// Of one that is not released nobody takes anything away.
	seven := open(&ends{}, true)
	_ = r.OnChoke(seven.ID())
	if eight := open(&ends{}, true); eight == seven {
		t.Error("opened again though it was not released")
	}
}

// So it is with a session that the peer opened.
func TestReleaseAccepted(t *testing.T) {
	var got []*Session
	h := &ends{when: func(s *Session) {
		_ = s.Finish([]byte("answer"))
		s.Release()
	}}
	m := NewMux(new(takes), Options{
		ChannelOptions: ChannelOptions{Dialect: heddle.V1, Heddle: true, Dialed: true},
		Accept: func(s *Session) error {
			got = append(got, s)
			s.SetHandler(h)
			return nil
		},
	})
	r := (*receiver)(m)
	for id := uint64(1); id <= 3; id++ {
		if err := r.OnInvoke(id, []byte("e"), 100, nil); err != nil {
			t.Fatal(err)
		}
		s := got[len(got)-1]
		if s.ID() != id || s.Context().Err() != nil || s.Window() != m.window || s.window != 100 {
			t.Errorf("session %d begins as %d, with window %d of %d, context %v", id, s.ID(), s.window, s.Window(), s.Context().Err())
		}
		_ = r.OnChunk(id, []byte("x"))
		_ = r.OnChoke(id)
		m.reap()
	}
	if got[0] != got[1] || got[1] != got[2] || m.Sessions() != 0 {
		t.Errorf("not used again: %p, %d are left", got, m.Sessions())
	}
}
