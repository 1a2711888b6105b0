package traffic

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/heddle-go/heddle/bench/internal/pattern"
	"github.com/heddle-go/heddle/bench/internal/websocket"
)

// A fault is what a server does instead of answering well.
type fault func(w http.ResponseWriter, r *http.Request)

// A rig is a server that answers well, but for every third request, with which
// the fault deals.
type rig struct {
	addr    string
	witness string
	asked   atomic.Int64
	faults  atomic.Int64
}

// thrice is set by a fault whose request is to stand in the witness three times.
const thrice = "X-Thrice"

func serve(t *testing.T, bad fault) *rig {
	t.Helper()
	g := &rig{witness: filepath.Join(t.TempDir(), "witness")}
	f, err := os.Create(g.witness)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(f, "%s 1\n", r.Header.Get("X-Request-Id"))
		w.Header().Set("X-Worker", "w1")
		w.Header().Set("X-Marker", "A")
		if g.asked.Add(1)%3 == 0 && bad != nil {
			g.faults.Add(1)
			defer func() {
				if w.Header().Get(thrice) != "" {
					fmt.Fprintf(f, "%[1]s 1\n%[1]s 1\n", r.Header.Get("X-Request-Id"))
				}
			}()
			bad(w, r)
			return
		}
		answerWell(w, r)
	}))
	t.Cleanup(srv.Close)
	g.addr = srv.Listener.Addr().String()
	return g
}

func answerWell(w http.ResponseWriter, r *http.Request) {
	id := r.Header.Get("X-Request-Id")
	switch r.URL.Path {
	case "/get":
		fmt.Fprintf(w, "A w1 %s\n", id)
	case "/post":
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "A w1 %s\n%s", id, body)
	case "/upload":
		if err := pattern.Check(r.Body, number(r)); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		fmt.Fprintf(w, "A w1 %s\n", id)
	case "/download":
		w.Header().Set("Content-Length", r.FormValue("n"))
		w.Write(pattern.Block[:number(r)])
	case "/events":
		fmt.Fprintf(w, "data: %s 0\n\ndata: %s 1\n\nevent: bye\ndata: bye\n\n", id, id)
	case "/socket":
		c, br := upgrade(w, r)
		defer c.Close()
		for {
			op, heard, err := websocket.ReadFrame(br)
			if err != nil {
				return
			}
			c.Write(websocket.AppendFrame(nil, op, heard, false))
			if op == websocket.Close {
				return
			}
		}
	}
}

func number(r *http.Request) (n int64) {
	fmt.Sscan(r.URL.Query().Get("n"), &n)
	return n
}

func upgrade(w http.ResponseWriter, r *http.Request) (net.Conn, *bufio.Reader) {
	c, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(err)
	}
	fmt.Fprintf(c, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\nX-Marker: A\r\nX-Worker: w1\r\n\r\n",
		websocket.Accept(r.Header.Get("Sec-WebSocket-Key")))
	return c, rw.Reader
}

// hangUp ends the connection without a byte.
func hangUp(w http.ResponseWriter, r *http.Request) {
	c, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(err)
	}
	c.Close()
}

// raw answers with what is written, and hangs up.
func raw(format string, args ...any) fault {
	return func(w http.ResponseWriter, r *http.Request) {
		c, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			panic(err)
		}
		defer c.Close()
		fmt.Fprintf(c, format, args...)
	}
}

// drive has the kinds ask, two clients of each, until enough was asked.
func (g *rig) drive(t *testing.T, kinds []Kind, before func(*Traffic)) *Traffic {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	o := Options{Addr: g.addr, Witness: g.witness, Pause: time.Millisecond, Size: 40_000, Stream: 2 * beat, Linger: time.Millisecond, Patience: 5 * time.Second}
	for _, k := range kinds {
		o.Clients[k] = 2
	}
	tr := Start(ctx, o)
	if before != nil {
		before(tr)
	}
	for g.asked.Load() < int64(6*len(kinds)) && ctx.Err() == nil {
		time.Sleep(time.Millisecond)
	}
	if err := tr.Stop(10 * time.Second); err != nil {
		t.Fatal(err)
	}
	return tr
}

func every() (all []Kind) {
	for k := range Kinds {
		all = append(all, Kind(k))
	}
	return all
}

func TestAllWell(t *testing.T) {
	tr := serve(t, nil).drive(t, every(), nil)
	for k, c := range tr.Counts() {
		if c.Sent == 0 || c != (Count{Sent: c.Sent, OK: c.Sent}) {
			t.Errorf("%v: got %+v, want all well", Kind(k), c)
		}
	}
	if f := tr.Failures(); f != nil {
		t.Errorf("got failures %+v", f)
	}
}

// TestFaults has the judge see each thing that may go wrong.
func TestFaults(t *testing.T) {
	all := every()
	plain := []Kind{KeptGet, ClosingGet, KeptPost, ClosingPost}
	for _, tc := range []struct {
		name  string
		kinds []Kind
		bad   fault
		want  Count // of one faulty request
		why   string
	}{
		{"hangs up", all, hangUp, Count{Lost: 1}, "EOF|reset|broken pipe"},
		{"502", all, raw("HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n"), Count{Lost: 1}, "status 502|reset|broken pipe"},
		{"503", plain, raw("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"), Count{Refused: 1}, "503"},
		{"cut short", plain, raw("HTTP/1.1 200 OK\r\nX-Worker: w1\r\nX-Marker: A\r\nContent-Length: 100\r\n\r\nA w1"), Count{Lost: 1}, "unexpected EOF"},
		{"cut in the head", plain, raw("HTTP/1.1 200 OK\r\nX-Wor"), Count{Lost: 1}, "reading the answer's head"},
		{"no length", plain, raw("HTTP/1.1 200 OK\r\nX-Worker: w1\r\nX-Marker: A\r\n\r\nA w1"), Count{Lost: 1}, "does not say where it ends"},
		{"nobody's", plain, raw("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"), Count{Lost: 1}, "who gave it"},
		{"another's answer", plain, func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "A w1 get-1-0\n") }, Count{Lost: 1}, "wrong bytes"},
		{"twice", plain, func(w http.ResponseWriter, r *http.Request) {
			answerWell(w, r)
			w.Header().Set(thrice, "yes") // the head has been sent or not: clients do not look
		}, Count{OK: 1, Twice: 1}, ""},
		{"cut chunks", []Kind{Events}, raw("HTTP/1.1 200 OK\r\nX-Worker: w1\r\nX-Marker: A\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n\r\n\r\n\r\r\n"), Count{Lost: 1}, "cut after 0 events|wrong bytes"},
		{"no bye", []Kind{Events}, func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprintf(w, "data: %s 0\n\n", r.Header.Get("X-Request-Id"))
		}, Count{Lost: 1}, "without a bye"},
		{"event missing", []Kind{Events}, func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprintf(w, "data: %s 1\n\nevent: bye\n\n", r.Header.Get("X-Request-Id"))
		}, Count{Lost: 1}, "for event 0"},
		{"short download", []Kind{Download}, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", r.FormValue("n"))
			w.Write(pattern.Block[:number(r)-1])
		}, Count{Lost: 1}, "39999 bytes came"},
		{"wrong download", []Kind{Download}, func(w http.ResponseWriter, r *http.Request) { w.Write(make([]byte, number(r))) }, Count{Lost: 1}, "wrong bytes"},
		{"socket cut", []Kind{Socket}, func(w http.ResponseWriter, r *http.Request) {
			c, br := upgrade(w, r)
			defer c.Close()
			websocket.ReadFrame(br)
		}, Count{Lost: 1}, "cut after 0 messages"},
		{"socket closed by the server", []Kind{Socket}, func(w http.ResponseWriter, r *http.Request) {
			c, br := upgrade(w, r)
			defer c.Close()
			websocket.ReadFrame(br)
			c.Write(websocket.AppendClose(nil, websocket.GoingAway, false))
			websocket.ReadFrame(br)
		}, Count{OK: 1}, ""},
		{"socket cut at the close", []Kind{Socket}, func(w http.ResponseWriter, r *http.Request) {
			c, br := upgrade(w, r)
			defer c.Close()
			for {
				op, heard, err := websocket.ReadFrame(br)
				if err != nil || op == websocket.Close {
					return
				}
				c.Write(websocket.AppendFrame(nil, op, heard, false))
			}
		}, Count{Lost: 1}, "cut at the close"},
		{"socket says another thing", []Kind{Socket}, func(w http.ResponseWriter, r *http.Request) {
			c, br := upgrade(w, r)
			defer c.Close()
			websocket.ReadFrame(br)
			c.Write(websocket.AppendFrame(nil, websocket.Text, []byte("x"), false))
		}, Count{Lost: 1}, "wrong bytes"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			g := serve(t, tc.bad)
			tr := g.drive(t, tc.kinds, nil)
			n := int(g.faults.Load())
			got := tr.Total()
			want := Count{Sent: got.Sent, Lost: n * tc.want.Lost, Refused: n * tc.want.Refused, Twice: n * tc.want.Twice}
			want.OK = got.Sent - want.Lost - want.Refused
			if n == 0 || got != want {
				t.Errorf("got %+v, want %+v of %d faults", got, want, n)
			}
			failures := tr.Failures()
			if len(failures) != want.Lost+want.Refused {
				t.Errorf("got %d failures, want %d", len(failures), want.Lost+want.Refused)
			}
			for _, f := range failures {
				if !containsAny(f.Why, strings.Split(tc.why, "|")) {
					t.Errorf("%s failed with %q, want %q", f.ID, f.Why, tc.why)
				}
			}
		})
	}
}

func containsAny(s string, parts []string) bool {
	for _, p := range parts {
		if strings.Contains(s, p) {
			return true
		}
	}
	return false
}

// TestKeptConnectionEnds: between two requests that is no loss.
func TestKeptConnectionEnds(t *testing.T) {
	g := serve(t, func(w http.ResponseWriter, r *http.Request) {
		c, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			panic(err)
		}
		defer c.Close()
		body := "A w1 " + r.Header.Get("X-Request-Id") + "\n"
		fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nX-Worker: w1\r\nX-Marker: A\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	})
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	tr := Start(ctx, Options{Addr: g.addr, Witness: g.witness, Clients: [Kinds]int{KeptGet: 1}, Pause: 50 * time.Millisecond})
	for g.asked.Load() < 9 {
		time.Sleep(time.Millisecond)
	}
	if err := tr.Stop(5 * time.Second); err != nil {
		t.Fatal(err)
	}
	if got := tr.Total(); got.OK != got.Sent || g.faults.Load() < 3 {
		t.Errorf("got %+v with %d ends, want all well", got, g.faults.Load())
	}
}

func TestStale(t *testing.T) {
	for _, tc := range []struct {
		name   string
		expect func(*Traffic)
		want   bool
	}{
		{"the right program", func(tr *Traffic) { tr.Expect("A", "w0") }, false},
		{"the wrong program", func(tr *Traffic) { tr.Expect("B") }, true},
		{"any program again", func(tr *Traffic) { tr.Expect("B"); tr.Expect("") }, false},
		{"a retired worker", func(tr *Traffic) { tr.Expect("", "w0", "w1"); tr.Expect("A") }, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			g := serve(t, nil)
			tr := g.drive(t, []Kind{KeptGet, ClosingPost}, func(tr *Traffic) {
				tc.expect(tr)
			})
			got := tr.Total()
			if tc.want && got.Stale == 0 || !tc.want && got.Stale > 0 || got.OK+got.Stale != got.Sent {
				t.Errorf("got %+v", got)
			}
		})
	}
}

// TestStaleNeedsItsRule: what was sent before a rule is not judged by it, and
// what comes back after it by its workers alone.
func TestStaleNeedsItsRule(t *testing.T) {
	l := newLedger("1", nil)
	early := l.begin(KeptGet)
	l.expect("A", []string{"old"})
	l.end(early, answer{worker: "old", marker: "B"}, nil)
	amid := l.begin(KeptGet)
	l.expect("", nil) // a deploy of B begins
	l.end(amid, answer{worker: "new", marker: "B"}, nil)
	late := l.begin(KeptGet)
	l.end(late, answer{worker: "old", marker: "A"}, nil)
	if got, want := l.counts[KeptGet], (Count{Sent: 3, OK: 2, Stale: 1}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestNobodyThere(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	tr := Start(context.Background(), Options{Addr: l.Addr().String(), Witness: filepath.Join(t.TempDir(), "none"), Pause: time.Millisecond})
	time.Sleep(50 * time.Millisecond)
	if err := tr.Stop(time.Second); err != nil {
		t.Fatal(err)
	}
	if got := tr.Total(); got.Lost == 0 || got.Lost != got.Sent {
		t.Errorf("got %+v, want all lost", got)
	}
}

// TestGrace: what is still under way when the grace is over is lost.
func TestGrace(t *testing.T) {
	g := serve(t, nil)
	held := make(chan struct{})
	srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-held }))
	defer srv.Close()
	defer close(held)
	tr := Start(context.Background(), Options{Addr: srv.Listener.Addr().String(), Witness: g.witness, Clients: [Kinds]int{KeptGet: 1, Upload: 2}, Pause: time.Millisecond, Size: 1})
	for tr.Total().Sent < 3 {
		time.Sleep(time.Millisecond)
	}
	if err := tr.Stop(10 * time.Millisecond); err != nil {
		t.Fatal(err)
	}
	if got := tr.Total(); got != (Count{Sent: 3, Lost: 3}) {
		t.Errorf("got %+v, want 3 lost", got)
	}
}

func TestAudit(t *testing.T) {
	l := newLedger("7", nil)
	for range 3 {
		l.end(l.begin(Upload), answer{}, nil)
	}
	const witness = "upload-7-1 10\nupload-7-2 10\nupload-7-3 11\nupload-7-2 11\nupload-6-1 9\nupload-6-1 9\nget.kept-77-1 1\nget.kept-77-1 1\n"
	if err := l.audit(strings.NewReader(witness)); err != nil || l.counts[Upload].Twice != 1 || l.counts[KeptGet].Twice != 0 {
		t.Errorf("got %+v, %v, want one upload served twice", l.counts, err)
	}
	if err := l.audit(strings.NewReader("upload-7-1 10\nupload-7-2 10\n")); err == nil {
		t.Error("a witness that misses a request: got nil, want an error")
	}
	if err := l.audit(strings.NewReader("upload-7-1\n")); err == nil {
		t.Error("half a line: got nil, want an error")
	}
}
