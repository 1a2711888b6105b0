package front

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"testing"

	"github.com/heddle-go/heddle/httpcompat"
	"github.com/heddle-go/heddle/httpcompat/httpcompattest"
	"github.com/heddle-go/heddle/session"
)

// A switchboard routes by host: "a" and "b" to openers that say so in the event,
// all others to net/http.
type switchboard struct{ *httpcompattest.Backend }

func (s switchboard) Route(host, target []byte) (Opener, *AppLimits) {
	switch string(host) {
	case "a", "b":
		return named{s.Backend, string(host) + string(target)}, nil
	}
	return nil, nil
}

// A named opener replaces the event.
type named struct {
	b     *httpcompattest.Backend
	event string
}

func (n named) OpenOn(i int, o session.OpenOptions, later func(*session.Session, error)) (*session.Session, func() bool, error) {
	o.Event = n.event
	return n.b.OpenOn(i, o, later)
}

// TestRoutes: each request of a connection goes where its host and target say,
// and one that goes to nobody on the loops leaves, once.
func TestRoutes(t *testing.T) {
	h := httpcompat.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "loop %s", r.Host)
	}))
	b, err := httpcompattest.NewBackend(h, 2)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	s, err := Open(Options{Listeners: []Listener{{Address: "127.0.0.1:0"}}, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	err = s.Serve(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprintf(w, "net/http %s", r.Host) }), switchboard{b})
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{MaxConnsPerHost: 1}}
	defer client.CloseIdleConnections()
	for i, tt := range []struct{ host, want string }{
		{"a", "loop a"}, {"b", "loop b"}, {"a", "loop a"}, {"c", "net/http c"}, {"a", "net/http a"},
	} {
		r, err := http.NewRequest("GET", "http://"+addr(s)+"/x", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Host = tt.host
		resp, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if string(body) != tt.want {
			t.Errorf("request %d to %s: got %q, want %q", i, tt.host, body, tt.want)
		}
	}
	if got := s.Stats().HandedOver; len(got) != 1 || got["route"] != 1 {
		t.Errorf("handed over: %v", got)
	}
}
