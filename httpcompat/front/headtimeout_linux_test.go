package front

import (
	"bufio"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/heddle-go/heddle/httpcompat"
	"github.com/heddle-go/heddle/httpcompat/httpcompattest"
)

// TestResponseHeaderTimeout: a worker that does not begin its answer in time costs
// its request, 504, and the handler learns it; one that has begun may take as long
// as it likes, and so may a client with its body. On the loop and by net/http alike.
func TestResponseHeaderTimeout(t *testing.T) {
	ended := make(chan struct{}, 1)
	h := httpcompat.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/never":
			w.WriteHeader(http.StatusEarlyHints)
			<-r.Context().Done()
			ended <- struct{}{}
		case "/begun":
			w.WriteHeader(200)
			http.NewResponseController(w).Flush()
			time.Sleep(3 * short)
			io.WriteString(w, "slow")
		default:
			io.Copy(w, r.Body)
		}
	}))
	b, err := httpcompattest.NewBackend(h, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	for name, backend := range map[string]Backend{"loop": b, "net/http": nil} {
		t.Run(name, func(t *testing.T) {
			limits := Limits{ResponseHeaderTimeout: short}
			s, err := Open(Options{Listeners: []Listener{{Address: "127.0.0.1:0"}}, Limits: limits})
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			if err := s.Serve(&httpcompat.Proxy{Opener: b, HeadTimeout: short}, backend); err != nil {
				t.Fatal(err)
			}
			c := dial(t, s)
			br := bufio.NewReader(c)
			ask := func(raw ...string) (*http.Response, string) {
				for i, p := range raw {
					if i > 0 {
						time.Sleep(2 * short)
					}
					io.WriteString(c, p)
				}
				for {
					if resp, body := readAnswer(t, br); resp.StatusCode >= 200 {
						return resp, body
					}
				}
			}
			late := func(raw ...string) {
				t.Helper()
				resp, body := ask(raw...)
				if resp.StatusCode != http.StatusGatewayTimeout || !strings.Contains(body, "took too long to answer (request ") {
					t.Errorf("got %s, %q", resp.Status, body)
				}
				await(t, func() error {
					select {
					case <-ended:
						return nil
					default:
						return io.ErrNoProgress
					}
				})
			}
			late("GET /never HTTP/1.1\r\nHost: a\r\n\r\n")
			late("POST /never HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nx", "y")
			if resp, body := ask("GET /begun HTTP/1.1\r\nHost: a\r\n\r\n"); resp.StatusCode != 200 || body != "slow" {
				t.Errorf("one that had begun got %s, %q", resp.Status, body)
			}
			if resp, body := ask("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nx", "y"); resp.StatusCode != 200 || body != "xy" {
				t.Errorf("a slow client got %s, %q", resp.Status, body)
			}
		})
	}
}
