package engine

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"
)

// A door is one address at which a plain program may answer.
type door struct {
	told    string // how the program knows of it: "PORT=20123"
	network string
	address string
	owner   *User // whose process must listen at a unix socket's path; nil: that is not asked, for our own directory keeps others out and a port lets everybody in

	mu   sync.Mutex
	last string // why it was not the one, the last time
}

// doors are the addresses of one process.
type doors struct {
	list     []*door
	port     string
	socket   string   // path
	notify   string   // path
	listener *os.File // descriptor 3; closed once the process has it
	close    func()   // removes everything; no error is of interest

	once  sync.Once
	ready chan struct{} // closed when the program said READY=1
}

// Pauses between two knocks, and how long one may take.
const (
	leastPause = 5 * time.Millisecond
	mostPause  = 100 * time.Millisecond
	knockTime  = 10 * time.Second
)

// hurry is told that the program says it is ready.
func (d *doors) hurry() { d.once.Do(func() { close(d.ready) }) }

// seek knocks at every door until one answers, and returns that; nil when ctx has
// ended.
func (d *doors) seek(ctx context.Context, knock func(context.Context, *door) error) *door {
	ctx, stop := context.WithCancel(ctx)
	answers := make(chan *door, len(d.list))
	var all sync.WaitGroup
	for _, x := range d.list {
		all.Go(func() { // ends with ctx
			if d.try(ctx, x, knock) {
				answers <- x
			}
		})
	}
	defer all.Wait()
	defer stop()
	select {
	case x := <-answers:
		return x
	case <-ctx.Done():
		return nil
	}
}

// try knocks at one door until it answers. False: ctx has ended.
func (d *doors) try(ctx context.Context, x *door, knock func(context.Context, *door) error) bool {
	ready, pause := d.ready, leastPause
	for {
		within, stop := context.WithTimeout(ctx, knockTime)
		err := knock(within, x)
		stop()
		if err == nil {
			return true
		}
		if ctx.Err() != nil {
			return false
		}
		x.mu.Lock()
		x.last = plainly(err)
		x.mu.Unlock()
		t := time.NewTimer(pause)
		select {
		case <-t.C:
			pause = min(2*pause, mostPause)
		case <-ready:
			ready, pause = nil, leastPause
		case <-ctx.Done():
		}
		t.Stop()
	}
}

// report says what came of each door.
func (d *doors) report() string {
	var b strings.Builder
	for i, x := range d.list {
		if i > 0 {
			b.WriteString("; ")
		}
		x.mu.Lock()
		why := x.last
		x.mu.Unlock()
		if why == "" {
			why = "accepted and silent"
		}
		fmt.Fprintf(&b, "%s: %s", x.told, why)
	}
	select {
	case <-d.ready:
		b.WriteString("; and yet it said READY=1")
	default:
	}
	return b.String()
}

// errNotYet reports an answer that says that requests cannot be answered now.
var errNotYet = errors.New("answered with 503 (Service Unavailable), which counts as not ready")

// errRubbish reports an answer that is not HTTP.
var errRubbish = errors.New("answered, but not in HTTP")

// plainly is a knock's error as a person reads it.
func plainly(err error) string {
	switch {
	case errors.Is(err, errRubbish), errors.Is(err, errNotYet):
		return err.Error()
	case errors.Is(err, syscall.ECONNREFUSED):
		return "refused"
	case errors.Is(err, syscall.ENOENT):
		return "not there"
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		return "accepted and silent"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return "accepted and closed without an answer"
	}
	return err.Error()
}

// knockOn asks for path through conn, and closes it. Nil: it answered, in HTTP, and not
// with 503.
func knockOn(ctx context.Context, conn net.Conn, path string) error {
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	_, err := io.WriteString(conn, "GET "+path+" HTTP/1.1\r\nHost: localhost\r\nUser-Agent: heddle-health\r\nConnection: close\r\n\r\n")
	if err != nil {
		return err
	}
	said := &firstBytes{r: io.LimitReader(conn, 64<<10)}
	br := bufio.NewReader(said)
	for {
		resp, err := http.ReadResponse(br, nil)
		if err != nil {
			var ne net.Error
			if len(said.p) == 0 || errors.As(err, &ne) {
				return err // EOF, or silence
			}
			if said.p[0] == 0x15 { // an alert, RFC 8446 5.1
				return fmt.Errorf("%w: it seems to speak TLS; plain HTTP is wanted", errRubbish)
			}
			return fmt.Errorf("%w: %.40q", errRubbish, said.p)
		}
		switch {
		case resp.StatusCode == http.StatusServiceUnavailable:
			return errNotYet
		case resp.StatusCode >= 200:
			return nil
		}
	}
}

// firstBytes keeps what was read first.
type firstBytes struct {
	r io.Reader
	p []byte
}

func (f *firstBytes) Read(p []byte) (int, error) {
	n, err := f.r.Read(p)
	if room := 40 - len(f.p); room > 0 {
		f.p = append(f.p, p[:min(n, room)]...)
	}
	return n, err
}
