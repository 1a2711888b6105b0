package front

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// outcomes answers as the path says.
func outcomes(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/made":
		w.WriteHeader(http.StatusCreated)
	case "/nobody":
		http.NotFound(w, r)
	case "/odd":
		w.WriteHeader(777)
	case "/early": // gives up before there is a head
		panic(http.ErrAbortHandler)
	case "/late": // and behind it
		io.WriteString(w, "some")
		http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	case "/wait":
		<-r.Context().Done()
	case "/take":
		c, brw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			panic(err)
		}
		brw.WriteString("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n")
		brw.Flush()
		c.Close()
	default:
		io.Copy(io.Discard, r.Body)
		io.WriteString(w, "ok")
	}
}

// A tagged error says whose it is.
type tagged struct {
	busy
	tag any
}

func (e tagged) Tag() any { return e.tag }

// tagged has the channels of a rig carry tag.
func (r *rig) tagged(t *testing.T, tag any) {
	t.Helper()
	for i, ln := range r.s.lanes {
		r.on(t, ln, func() { r.b.Mux(i).SetTag(tag) })
	}
}

// tallied waits until a tag's tally is as wanted: "GET 200 3", sorted, and then
// how many durations there were and how many answers broke off.
func (r *rig) tallied(t *testing.T, tag any, want ...string) {
	t.Helper()
	await(t, func() error {
		var got []string
		for _, ta := range r.s.Tallies() {
			if ta.Tag != tag {
				continue
			}
			for _, a := range ta.Answers {
				got = append(got, fmt.Sprintf("%s %03d %d", a.Method, a.Code, a.N))
			}
			slices.Sort(got)
			got = append(got, fmt.Sprintf("%d timed, %d broken", ta.Durations.Count(), ta.Broken))
		}
		if !slices.Equal(got, want) {
			return fmt.Errorf("tag %v: got %q, want %q", tag, got, want)
		}
		return nil
	})
}

// play sends a request on a connection of its own and reads until that ends, or
// for leave until the request is under way, and then leaves.
func (r *rig) play(t *testing.T, raw string, leave bool) {
	t.Helper()
	c, err := net.Dial("tcp", addr(r.s))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(patience))
	before := r.sessions()
	io.WriteString(c, raw)
	if leave {
		await(t, func() error {
			if r.sessions() <= before {
				return errors.New("it is not under way")
			}
			return nil
		})
		return
	}
	if _, err := io.Copy(io.Discard, c); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("%q: the connection stays open", raw)
	}
}

// TestTallies: each outcome is counted once, with the tag of who had it, on the
// loops and behind a hand-over alike.
func TestTallies(t *testing.T) {
	get := func(path string) string { return asks("GET "+path+" HTTP/1.1", "Host: a", "Connection: close") }
	chunked := func(method, path string) string {
		return asks(method+" "+path+" HTTP/1.1", "Host: a", "Connection: close", "Transfer-Encoding: chunked") + "0\r\n\r\n"
	}
	for name, tt := range map[string]struct {
		ask  func(method, path string) string
		want []string
	}{
		"on a loop": {func(method, path string) string {
			return strings.Replace(get(path), "GET", method, 1)
		}, []string{"DELETE 200 1", "GET 000 1", "GET 101 1", "GET 200 3", "GET 404 1", "GET 499 1", "GET 777 1", "HEAD 200 1", "POST 201 2", "other 200 1", "12 timed, 1 broken"}},
		"handed over": {chunked, []string{"DELETE 200 1", "GET 000 1", "GET 101 1", "GET 200 3", "GET 404 1", "GET 499 1", "GET 777 1", "HEAD 200 1", "POST 201 2", "other 200 1", "12 timed, 1 broken"}},
	} {
		t.Run(name, func(t *testing.T) {
			for _, loops := range []int{1, 2} {
				r := newHTTPRig(t, Options{Tallies: true}, outcomes, loops)
				tag := new(int)
				r.tagged(t, tag)
				for _, ask := range []string{"GET /", "GET /", "GET /late", "HEAD /", "POST /made", "POST /made", "DELETE /", "OPTIONS /", "GET /nobody", "GET /odd", "GET /early", "GET /take"} {
					method, path, _ := strings.Cut(ask, " ")
					r.play(t, tt.ask(method, path), false)
				}
				r.play(t, tt.ask("GET", "/wait"), true)
				r.tallied(t, tag, tt.want...)
				r.tallied(t, nil)
				if st := r.s.Stats(); name == "on a loop" && len(st.HandedOver) > 0 || name != "on a loop" && len(st.HandedOver) != 1 {
					t.Errorf("handed over: %v", st.HandedOver)
				}

				// The next release's, beside the one before.
				next := new(int)
				r.tagged(t, next)
				r.play(t, tt.ask("GET", "/"), false)
				r.tallied(t, next, "GET 200 1", "1 timed, 0 broken")
				r.tallied(t, tag, tt.want...)
				r.s.ForgetTallies(func(x any) bool { return x == tag })
				r.tallied(t, tag)
				r.tallied(t, next, "GET 200 1", "1 timed, 0 broken")
			}
		})
	}
}

// TestTalliesOfNobody: what the front refuses by itself is nobody's, unless who
// was asked says whose it is.
func TestTalliesOfNobody(t *testing.T) {
	r := newHTTPRig(t, Options{Tallies: true, Limits: Limits{MaxBody: 10}}, outcomes, 1)
	r.tagged(t, "release")
	r.play(t, posts("Content-Length: 11")+strings.Repeat("x", 11), false)
	r.tallied(t, nil, "POST 413 1", "1 timed, 0 broken")
	r.gate.refuse(tagged{tag: "app"})
	c := r.dial(t)
	io.WriteString(c, asks("GET / HTTP/1.1", "Host: a", "Connection: close"))
	if got := closed(t, c); !strings.HasPrefix(got, "HTTP/1.1 503 ") {
		t.Errorf("got %q", got)
	}
	r.tallied(t, "app", "GET 503 1", "1 timed, 0 broken")
	r.tallied(t, nil, "POST 413 1", "1 timed, 0 broken")
	r.tallied(t, "release")
}

// TestNoTallies: nothing is counted that nobody asked for.
func TestNoTallies(t *testing.T) {
	r := newHTTPRig(t, Options{}, outcomes, 1)
	r.play(t, asks("GET / HTTP/1.1", "Host: a", "Connection: close"), false)
	r.play(t, chunks("0\r\n\r\n")+asks("GET / HTTP/1.1", "Host: a", "Connection: close"), false)
	await(t, func() error {
		if st := r.s.Stats(); st.Active > 0 || st.Requests != 3 {
			return fmt.Errorf("%+v", st)
		}
		return nil
	})
	if got := r.s.Tallies(); len(got) > 0 {
		t.Errorf("got %+v", got)
	}
}

// TestManyTallies: who never forgets does not fill the memory.
func TestManyTallies(t *testing.T) {
	var ts tallies
	for i := range mostTallies + 10 {
		ts.of(i).add(getMethod, 200, 0)
	}
	if n := len(*ts.list.Load()); n > mostTallies+1 {
		t.Errorf("%d tallies, want at most %d", n, mostTallies+1)
	}
	var out Tally
	ts.of(nil).addTo(&out)
	if len(out.Answers) != 1 || out.Answers[0].N != 10 {
		t.Errorf("nobody's are %+v, want 10", out)
	}
}
