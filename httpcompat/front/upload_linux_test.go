package front

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/heddle-go/heddle/session"
	"github.com/heddle-go/heddle/worker"
)

// echoed tells what its body came to.
func echoed(w http.ResponseWriter, r *http.Request) {
	b, err := io.ReadAll(r.Body)
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
	}
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		fmt.Fprintf(w, "%d late", len(b))
	case err != nil:
		fmt.Fprintf(w, "%d %v", len(b), err)
	default:
		fmt.Fprintf(w, "%d", len(b))
	}
}

// TestMaxBodyOnLoop: a body that is announced as too long leaves the loop for
// 413; others do not.
func TestMaxBodyOnLoop(t *testing.T) {
	r := newHTTPRig(t, Options{Limits: Limits{MaxBody: 10}}, echoed, 1)
	c := r.dial(t)
	if _, body := send(t, c, post("/most", 10, "0123456789")); body != "10" {
		t.Errorf("got %q", body)
	}
	if st := r.s.Stats(); len(st.HandedOver) != 0 || st.Clients != 1 {
		t.Errorf("got %+v", st)
	}
	resp, body := send(t, c, post("/more", 11, "0123456789a"))
	if resp.StatusCode != 413 || !strings.Contains(body, "request id-more") {
		t.Errorf("got %s %q", resp.Status, body)
	}
	await(t, func() error {
		if st := r.s.Stats(); st.Refused != 1 || st.Clients != 0 || fmt.Sprint(st.HandedOver) != "map[body_size:1]" || st.Requests != 2 {
			return fmt.Errorf("got %+v", st)
		}
		return nil
	})
}

// TestSlowUpload: a body that does not come in time ends the handler's reading
// and, with the answer, the connection; one that has come has no time-out.
func TestSlowUpload(t *testing.T) {
	for _, queued := range []bool{false, true} {
		r := newHTTPRig(t, Options{Limits: Limits{ReadTimeout: 2 * short}}, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/long" {
				io.Copy(io.Discard, r.Body)
				time.Sleep(3 * short)
				r.Body = http.NoBody
			}
			echoed(w, r)
			if r.Context().Err() != nil {
				t.Error("the context has ended")
			}
		}, 1)
		c := r.dial(t)
		br := bufio.NewReader(c)
		for _, raw := range []string{post("/long", 1, "x"), get("/long")} {
			io.WriteString(c, raw)
			if resp, body := readAnswer(t, br); resp.StatusCode != 200 || resp.Close || body != "0" {
				t.Errorf("got %v %q", resp, body)
			}
		}
		if queued {
			r.gate.close()
		}
		io.WriteString(c, post("/half", 10, "01234"))
		if queued { // the time-out comes meanwhile
			time.Sleep(3 * short)
			r.gate.letGo(t, nil)
		}
		stop := make(chan struct{})
		go func() { // ends with the answer; a little all the time makes no difference
			for range 4 {
				select {
				case <-stop:
					return
				case <-time.After(short):
					io.WriteString(c, "x")
				}
			}
		}()
		resp, body := readAnswer(t, br)
		close(stop)
		if resp.StatusCode != 400 || !strings.HasSuffix(body, " late") || !resp.Close {
			t.Errorf("queued %v: got %v, %q", queued, resp, body)
		}
		if b, err := io.ReadAll(br); len(b) > 0 || os.IsTimeout(err) {
			t.Errorf("behind it came %q, %v", b, err)
		}
		c.Close()
		r.settled(t)
		if r.log.String() != "" {
			t.Errorf("the log has %s", r.log)
		}
	}
}

// TestHalfClosedUpload: a client that half-closes amid its body gets its answer;
// the handler is told that there is less than was said.
func TestHalfClosedUpload(t *testing.T) {
	for _, tt := range []struct {
		raw, want string
		queued    bool
	}{
		{post("/half", 10, "01234"), "400 5 unexpected EOF", false},
		{post("/half", 10, "01234"), "400 5 unexpected EOF", true},
		{post("/half", 10, ""), "400 0 unexpected EOF", true},
		{post("/half", 1<<20, strings.Repeat("x", 1<<19)), "400 524288 unexpected EOF", true},
		{post("/half", 10, "0123456789"), "200 10", false},
		{post("/half", 10, "0123456789"), "200 10", true},
	} {
		r := newHTTPRig(t, Options{}, echoed, 1)
		if tt.queued {
			r.gate.close()
		}
		c := r.dial(t)
		io.WriteString(c, tt.raw)
		c.CloseWrite()
		if tt.queued {
			await(t, func() error {
				if r.gate.waiting() != 1 {
					return errors.New("it does not wait")
				}
				return nil
			})
			r.gate.letGo(t, nil)
		}
		if got := strings.TrimSuffix(outcome(bufio.NewReader(c), "POST"), ", last"); got != tt.want {
			t.Errorf("%.80q, queued %v: got %q, want %q", tt.raw, tt.queued, got, tt.want)
		}
		if got := closed(t, c); got != "" {
			t.Errorf("behind it came %q", got)
		}
		r.settled(t)
		if tt.want[:3] == "400" {
			r.log.await(t, "status=499", "request=id-half")
		}
	}
}

// TestUnreadUpload: of a body that the handler does not read a little is passed
// over; a lot ends the connection, behind the whole answer.
func TestUnreadUpload(t *testing.T) {
	const little, lot = lingerBytes - 1, 4 * lingerBytes
	large := strings.Repeat("answer ", 10_000)
	answers := func(w http.ResponseWriter, r *http.Request) {
		if r.Method == "GET" {
			io.WriteString(w, "ok")
			return
		}
		w.Header().Set("Content-Length", fmt.Sprint(len(large)))
		io.WriteString(w, large)
	}
	body := strings.Repeat("x", lot)
	for _, tt := range []struct {
		name string
		size int
		sent int  // before the answer; the rest comes behind it
		rest bool // or never
		kept bool
	}{
		{name: "none", size: 0, kept: true},
		{name: "all at once", size: little, sent: little, kept: true},
		{name: "in two", size: little, sent: 1000, rest: true, kept: true},
		{name: "nothing of it before the answer", size: 1000, rest: true, kept: true},
		{name: "the rest never", size: 1000, sent: 10},
		{name: "a lot", size: lot, sent: lot},
		{name: "a lot, in two", size: lot, sent: 1000, rest: true},
		{name: "a lot, the rest never", size: lot, sent: 1000},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newHTTPRig(t, Options{}, answers, 1)
			c := r.dial(t)
			br := bufio.NewReader(c)
			wrote := make(chan struct{})
			go func() { // ends when all is sent, or the connection ends
				defer close(wrote)
				io.WriteString(c, post("/body", tt.size, body[:tt.sent]))
			}()
			resp, got := readAnswer(t, br)
			if resp.StatusCode != 200 || got != large || resp.Close != (tt.size == lot) {
				t.Errorf("got %v, %d bytes, close %v", resp.Status, len(got), resp.Close)
			}
			<-wrote
			if tt.rest {
				io.WriteString(c, body[tt.sent:tt.size])
			}
			if tt.kept {
				io.WriteString(c, get("/next"))
				if got := outcome(br, "GET"); got != "200 ok" {
					t.Errorf("the next got %q", got)
				}
			} else if b, err := io.ReadAll(br); len(b) > 0 || os.IsTimeout(err) {
				t.Errorf("behind it came %q, %v", b, err)
			}
			c.Close()
			r.settled(t)
			if st := r.s.Stats(); st.Gone != 0 || r.log.String() != "" {
				t.Errorf("got %+v, the log has %s", st, r.log)
			}
		})
	}
}

// TestUploadToSlowReader: a handler that reads slowly has its client wait, and
// the front keep little.
func TestUploadToSlowReader(t *testing.T) {
	const size = 24 << 20
	began, read := make(chan struct{}), make(chan struct{})
	r := newHTTPRig(t, Options{}, func(w http.ResponseWriter, r *http.Request) {
		close(began)
		<-read
		b, err := io.ReadAll(r.Body)
		for i := 0; i < len(b); i += 251 {
			if b[i] != byte(i/251) {
				t.Errorf("byte %d is %d", i, b[i])
				break
			}
		}
		fmt.Fprint(w, len(b), err)
	}, 1)
	c := r.dial(t)
	body := make([]byte, size)
	for i := 0; i < size; i += 251 {
		body[i] = byte(i / 251)
	}
	sent := make(chan error, 1)
	go func() { // ends when the handler has read
		_, err := io.Copy(c, io.MultiReader(strings.NewReader(post("/body", size, "")), bytes.NewReader(body)))
		sent <- err
	}()
	wait(t, began, "the handler")
	var before int64
	await(t, func() error { // until it stands still
		var now int64
		n := r.most(t, func(c *client) int {
			now = c.x.left
			return c.unread() + cap(c.early) + len(c.x.sent) + r.b.Mux(0).Link().Queued()
		})
		if n > 2*(128<<10)+bufferSize+2*session.DefaultWindow {
			t.Errorf("%d bytes are kept", n)
		}
		if same := now == before; !same || r.most(t, func(c *client) int { return map[bool]int{true: 1}[c.paused] }) == 0 {
			before = now
			return errors.New("the client is still read")
		}
		return nil
	})
	if got := size - before; got > session.DefaultWindow {
		t.Errorf("the handler was sent %d bytes", got)
	}
	select {
	case err := <-sent:
		t.Errorf("all was taken: %v", err)
	default:
	}
	close(read)
	if err := wait(t, sent, "the upload"); err != nil {
		t.Error(err)
	}
	if _, body := readAnswer(t, bufio.NewReader(c)); body != fmt.Sprint(size, nil) {
		t.Errorf("got %q", body)
	}
	c.Close()
	r.settled(t)
}

// TestUploadOutlivesItsReader: the rest of a body whose reader is gone is still
// taken, so that its client gets to read the answer.
func TestUploadOutlivesItsReader(t *testing.T) {
	release := make(chan struct{})
	r := newHTTPRig(t, Options{}, func(w http.ResponseWriter, r *http.Request) {
		r.Body.Read(make([]byte, 1))
		ctx, cancel := context.WithTimeout(r.Context(), patience)
		defer cancel()
		select {
		case <-release:
		case <-ctx.Done():
		}
		io.WriteString(w, "enough")
	}, 1)
	c := r.dial(t)
	go io.WriteString(c, post("/body", 200<<10, strings.Repeat("x", 200<<10))) // ends when all is sent
	await(t, func() error {
		if r.most(t, func(c *client) int { return map[bool]int{true: 1}[c.paused] }) == 0 {
			return errors.New("it is not paused")
		}
		return nil
	})
	close(release)
	br := bufio.NewReader(c)
	if got := outcome(br, "POST"); got != "200 enough" {
		t.Errorf("got %q", got)
	}
	io.WriteString(c, get("/next"))
	if got := outcome(br, "GET"); got != "200 enough" {
		t.Errorf("the next got %q", got)
	}
	c.Close()
	r.settled(t)
}

// TestUnreadUploadOfOthers: what is passed over is for the front to decide, whatever
// the worker says of the connection.
func TestUnreadUploadOfOthers(t *testing.T) {
	for _, tt := range []struct {
		size int
		want string
	}{{lingerBytes - 1, "200 ok"}, {lingerBytes, "closed"}} {
		r := newRig(t, Options{}, worker.HandlerFunc(func(_ context.Context, s *session.Session) {
			s.Finish(responseHead(200, "Content-Length", "2"), []byte("ok"))
		}), 1)
		c := r.dial(t)
		br := bufio.NewReader(c)
		io.WriteString(c, post("/body", tt.size, ""))
		if got := outcome(br, "POST"); got != "200 ok" {
			t.Errorf("%d: got %q", tt.size, got)
		}
		go io.WriteString(c, strings.Repeat("x", tt.size)+get("/next")) // ends when all is sent, or the connection
		if got := outcome(br, "GET"); got != tt.want && got != "reset" || got == "reset" && tt.want != "closed" {
			t.Errorf("%d: the next got %q", tt.size, got)
		}
		c.Close()
		r.settled(t)
	}
}
