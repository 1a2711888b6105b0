package httpcompat_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/httpcompat"
	"github.com/heddle-go/heddle/httpcompat/httpcompattest"
	"github.com/heddle-go/heddle/loop"
	"github.com/heddle-go/heddle/session"
)

// A dyingLink has taken some bytes of what was sent when its channel ends.
type dyingLink struct {
	session.Link
	sent    atomic.Int64
	written int64
	shut    atomic.Bool // takes nothing more
}

func (l *dyingLink) Abort(error) {}

func (l *dyingLink) Written() int64           { return l.written }
func (l *dyingLink) Queued() int              { return 0 }
func (l *dyingLink) SendControl([]byte) error { return nil }
func (l *dyingLink) Send(head, body []byte) (int64, error) {
	if l.shut.Load() {
		return 0, loop.ErrClosed
	}
	return l.sent.Add(int64(len(head) + len(body))), nil
}

// A request is asked for again exactly if its worker cannot have had it, and
// then arrives whole. None is asked for twice otherwise.
func TestRetry(t *testing.T) {
	small, large := strings.Repeat("s", 20<<10), strings.Repeat("l", 100<<10)
	for _, row := range []struct {
		name    string
		method  string
		body    string
		pause   bool  // the client sends half of the body, and the rest later
		expect  bool  // and waits for 100-continue
		shut    bool  // the channel takes nothing for a while before its end is known
		written int64 // bytes that the kernel took before the channel's end
		deaths  int32
		want    string
	}{
		{name: "GET", method: "GET", deaths: 1, want: "200 GET 0"},
		{name: "two deaths", method: "GET", deaths: 2, want: "200 GET 0"},
		{name: "three deaths", method: "GET", deaths: 3, want: "502"},
		{name: "the invoke was taken", method: "GET", written: 1 << 20, deaths: 1, want: "502"},
		{name: "body", method: "POST", body: small, deaths: 1, want: "200 POST 20480"},
		{name: "body on its way", method: "POST", body: small, pause: true, deaths: 1, want: "200 POST 20480"},
		{name: "body, two deaths", method: "POST", body: small, deaths: 2, want: "200 POST 20480"},
		{name: "body not yet asked for", method: "POST", body: large, expect: true, deaths: 1, want: "200 POST 102400"},
		{name: "body, refused before the end", method: "POST", body: small, shut: true, deaths: 1, want: "200 POST 20480"},
		{name: "body, refused on its way", method: "POST", body: small, shut: true, pause: true, deaths: 1, want: "200 POST 20480"},
		{name: "long body, refused before the end", method: "POST", body: large, shut: true, deaths: 1, want: "200 POST 102400"},
		{name: "body too long to be kept", method: "POST", body: large, deaths: 1, want: "502"},
		{name: "body, the invoke was taken", method: "POST", body: small, written: 1 << 20, deaths: 1, want: "502"},
	} {
		t.Run(row.name, func(t *testing.T) {
			var served atomic.Int32
			live := httpcompattest.NewProxy(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				served.Add(1)
				b, err := io.ReadAll(r.Body)
				fmt.Fprintf(w, "%s %d", r.Method, len(b))
				if string(b) != row.body {
					t.Error("the body is another")
				}
				if err != nil {
					t.Error(err)
				}
			}))
			defer live.Close()
			var opened atomic.Int32
			died := make(chan bool, row.deaths)
			s := httptest.NewServer(&httpcompat.Proxy{Opener: httpcompat.OpenerFunc(func(ctx context.Context, o session.OpenOptions) (*session.Session, error) {
				if opened.Add(1) > row.deaths {
					return live.Opener.Open(ctx, o)
				}
				l := &dyingLink{written: row.written}
				m := session.NewMux(l, session.Options{ChannelOptions: session.ChannelOptions{Dialect: heddle.V1, Heddle: true}})
				s, err := m.Open(o)
				head := l.sent.Load()
				l.shut.Store(row.shut)
				go func() { // ends when enough of the body was sent, or after a while
					want := int64(len(row.body))
					switch {
					case row.expect:
						want = 0
					case row.pause:
						want /= 2
					}
					for end := time.Now().Add(100 * time.Millisecond); l.sent.Load() < head+min(want, 40<<10) && time.Now().Before(end); {
						time.Sleep(time.Millisecond)
					}
					m.OnClose(io.ErrUnexpectedEOF)
					died <- true
				}()
				return s, err
			})})
			defer s.Close()
			pr, pw := io.Pipe()
			go func() { // ends with the body, or with the request
				half := 0
				if row.pause {
					half = len(row.body) / 2
					io.WriteString(pw, row.body[:half])
					<-died
				}
				io.WriteString(pw, row.body[half:])
				pw.Close()
			}()
			defer pr.Close()
			var body io.Reader
			if row.body != "" {
				body = pr
			}
			req, err := http.NewRequest(row.method, s.URL, body)
			if err != nil {
				t.Fatal(err)
			}
			if row.expect {
				req.Header.Set("Expect", "100-continue")
			}
			resp, err := (&http.Transport{ExpectContinueTimeout: time.Minute, DisableKeepAlives: true}).RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			text, err := io.ReadAll(resp.Body)
			got := fmt.Sprintf("%d %s", resp.StatusCode, text)
			if err != nil || !strings.HasPrefix(got, row.want) {
				t.Errorf("got %s, %v; want %s", got, err, row.want)
			}
			if n := served.Load(); n != map[bool]int32{true: 1}[strings.HasPrefix(row.want, "200")] {
				t.Errorf("served %d times", n)
			}
		})
	}
}
