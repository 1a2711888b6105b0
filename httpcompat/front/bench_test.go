package front

import (
	"io"
	"net/http"
	"testing"
)

// A sink is an http.ResponseWriter that keeps nothing.
type sink struct{ h http.Header }

func (s *sink) Header() http.Header         { return s.h }
func (s *sink) WriteHeader(int)             {}
func (s *sink) Write(p []byte) (int, error) { return len(p), nil }

// BenchmarkExchange is what the front adds to a request, beside net/http's own
// work.
func BenchmarkExchange(b *testing.B) {
	s, err := Open(Options{Listeners: []Listener{{Address: "127.0.0.1:0"}}})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	s.handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "Hello, heddle\n") })
	r, err := http.NewRequest("GET", "/", nil)
	if err != nil {
		b.Fatal(err)
	}
	r.RemoteAddr, r.Host = "192.0.2.1:4711", "example.org"
	w := &sink{http.Header{}}
	b.ReportAllocs()
	for b.Loop() {
		r.Header = make(http.Header)
		s.serveHTTP(w, r)
	}
}
