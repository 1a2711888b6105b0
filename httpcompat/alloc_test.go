package httpcompat

import (
	"context"
	"io"
	"net/http"
	"testing"

	"github.com/heddle-go/heddle/codec"
	"github.com/heddle-go/heddle/session"
)

func TestAllocations(t *testing.T) {
	if raceEnabled {
		t.Log("the race detector allocates too; make test counts")
		return
	}
	r := browser()
	data := AppendRequestHead(nil, r, "127.0.0.1:8080")
	sc := new(scratch)
	ctx := context.Background()
	buf := make([]byte, 0, 4<<10)
	for _, c := range []struct {
		name string
		most float64
		f    func()
	}{
		{"encode a request head", 0, func() { buf = AppendRequestHead(buf[:0], r, "127.0.0.1:8080") }},
		{"decode a request head", 0, func() {
			if err := codec.DecodeRequestHead(&sc.req, data); err != nil {
				t.Fatal(err)
			}
		}},
		// The exchange, the Request, the arena, the values, and three for a
		// map of 12.
		{"build a request", 7, func() {
			x := new(exchange)
			if _, _, err := sc.fill(blank.WithContext(ctx), &x.url, data, false); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		c.f()
		if got := testing.AllocsPerRun(100, c.f); got > c.most {
			t.Errorf("%s: %v allocations, want at most %v", c.name, got, c.most)
		}
	}
}

// A GET of 14 bytes costs the worker what its request costs, the response's
// header map and its one entry's table.
func TestServeAllocations(t *testing.T) {
	if raceEnabled {
		t.Log("the race detector allocates too; make test counts")
		return
	}
	const runs = 200
	h := Handler(hello)
	arrived := make(chan *session.Session, runs+1)
	asking := muxes(t, func(s *session.Session) error { arrived <- s; return nil })
	data := AppendRequestHead(nil, browser(), "127.0.0.1:8080")
	for range runs + 1 {
		if _, err := asking.Open(session.OpenOptions{Event: DefaultEvent, First: data, Last: true}); err != nil {
			t.Fatal(err)
		}
	}
	var sessions []*session.Session
	for range runs + 1 {
		s := <-arrived
		for !s.Buffered() { // the head is in the same batch
		}
		sessions = append(sessions, s)
	}
	// What the far loop allocates for answers is not counted: it stands still.
	hold := make(chan struct{})
	if err := asking.Link().Do(func() { <-hold }); err != nil {
		t.Fatal(err)
	}
	defer close(hold)
	const most = 12 // 7 for the request, 2 for the answer; the link's buffer grows
	if got := testing.AllocsPerRun(runs, func() {
		s := sessions[0]
		sessions = sessions[1:]
		h.ServeInvoke(s.Context(), s)
	}); got > most {
		t.Errorf("%v allocations, want at most %d", got, most)
	} else {
		t.Logf("%v allocations", got)
	}
}

// What a handler keeps of a request stays as it was while others are served:
// nothing of it is pooled.
func TestArenaIsNeverPooled(t *testing.T) {
	var kept []*http.Request
	var copies []string
	look := func(r *http.Request) string {
		return r.Method + r.RequestURI + r.Host + r.RemoteAddr + r.URL.String() + r.Header.Get("Cookie") + r.Header.Get("X-N")
	}
	h := Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		kept = append(kept, r)
		copies = append(copies, string([]byte(look(r))))
		io.WriteString(w, "ok")
	}))
	arrived := make(chan *session.Session)
	asking := muxes(t, func(s *session.Session) error { arrived <- s; return nil })
	for i := range 200 {
		r := browser()
		r.Header.Set("X-N", decimal(int64(i)))
		if _, err := asking.Open(session.OpenOptions{Event: DefaultEvent, First: AppendRequestHead(nil, r, ""), Last: true}); err != nil {
			t.Fatal(err)
		}
		s := <-arrived
		h.ServeInvoke(s.Context(), s)
		s.Discard()
	}
	for i, r := range kept {
		if got := look(r); got != copies[i] {
			t.Fatalf("request %d changed to %q, was %q", i, got, copies[i])
		}
	}
}
