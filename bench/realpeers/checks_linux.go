package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// An asker asks the program of testdata, wherever it is.
type asker struct {
	base   string // http://HOST, and what a proxy wants before the path
	client *http.Client
}

// An answer is one that has come whole.
type answer struct {
	code   int
	header http.Header
	body   []byte
}

func (a *asker) ask(ctx context.Context, method, path string, body []byte) (*answer, error) {
	req, err := http.NewRequestWithContext(ctx, method, a.base+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("X-Sent", "yes")
	resp, err := a.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, fmt.Errorf("the answer broke off after %d bytes: %w", len(got), err)
	}
	return &answer{resp.StatusCode, resp.Header, got}, nil
}

// pid asks for the pid of the process that answers.
func (a *asker) pid(ctx context.Context, path string) (int, error) {
	got, err := a.ask(ctx, "GET", path, nil)
	if err != nil {
		return 0, err
	}
	pid, err := strconv.Atoi(string(got.body))
	if err != nil || got.code != 200 {
		return 0, fmt.Errorf("GET %s: got %d %q, want 200 and a pid", path, got.code, got.body)
	}
	return pid, nil
}

// bigSize is more than sockets and queues take at once.
const bigSize = 4 << 20

// httpChecks are the questions that every worker is asked, by whatever way.
func (a *asker) httpChecks(ctx context.Context, note notes) {
	pid, err := a.pid(ctx, "/pid")
	seen := ""
	if err == nil && pid > 0 {
		seen = "200"
	}
	note("GET", seen, err)

	body := noise(1500)
	got, err := a.ask(ctx, "POST", "/echo?a=b%20c&d=", body)
	if err == nil {
		err = got.echoes(body)
	}
	note("POST, echo", said("201, %d bytes of 0 to 255, query and headers", len(body)), err)

	got, err = a.ask(ctx, "PUT", "/echo", nil)
	if err == nil && (got.code != 201 || len(got.body) != 0 || got.header.Get("X-Method") != "PUT") {
		err = fmt.Errorf("got %d, %d bytes, X-Method %q", got.code, len(got.body), got.header.Get("X-Method"))
	}
	note("PUT, no body", "201, no bytes", err)

	got, err = a.ask(ctx, "GET", "/big?n="+strconv.Itoa(bigSize), nil)
	if err == nil {
		err = got.pattern(bigSize)
	}
	note("big answer", said("200, %d MiB", bigSize>>20), err)

	body = noise(bigSize)
	got, err = a.ask(ctx, "POST", "/echo", body)
	if err == nil && (got.code != 201 || !bytes.Equal(got.body, body)) {
		err = fmt.Errorf("got %d and %d bytes, not those sent", got.code, len(got.body))
	}
	note("big body, echo", said("201, %d MiB", bigSize>>20), err)

	pids, err := a.hundred(ctx)
	note("100 at once", said("100 answers of %d processes", len(pids)), err)

	note("clients go", "the same workers answer afterwards", a.goes(ctx, pids))
}

// goes asks and does not wait for the end: before an answer begins, and amid one.
// The workers, whose pids are given, have to stay as they are.
func (a *asker) goes(ctx context.Context, pids []int) error {
	var wg sync.WaitGroup
	for i := range 20 {
		path, patience := "/slow?ms=300", 100*time.Millisecond
		if i%4 == 0 {
			path, patience = "/big?n="+strconv.Itoa(8*bigSize), 20*time.Millisecond
		}
		wg.Go(func() {
			short, cancel := context.WithTimeout(ctx, patience)
			defer cancel()
			_, _ = a.ask(short, "GET", path, nil) // it ends without us
		})
	}
	wg.Wait()
	now, err := a.hundred(ctx)
	slices.Sort(pids)
	slices.Sort(now)
	if err == nil && !slices.Equal(pids, now) {
		err = fmt.Errorf("processes %v answer, and before %v did", now, pids)
	}
	return err
}

func said(format string, args ...any) string { return fmt.Sprintf(format, args...) }

// noise is n bytes of all values.
func noise(n int) []byte {
	r := rand.New(rand.NewPCG(1, uint64(n)))
	p := make([]byte, n)
	for i := range p {
		p[i] = byte(r.Uint32())
	}
	return p
}

// echoes holds the answer of /echo?a=b%20c&d= against what was sent.
func (a *answer) echoes(body []byte) error {
	twice := strings.Join(a.header.Values("X-Twice"), ",")
	for _, c := range []struct{ what, got, want string }{
		{"the status", strconv.Itoa(a.code), "201"},
		{"X-Method", a.header.Get("X-Method"), "POST"},
		{"X-Query", a.header.Get("X-Query"), "a=b%20c&d="},
		{"X-Got", a.header.Get("X-Got"), "yes"},
		{"X-Twice", strings.ReplaceAll(twice, " ", ""), "one,two"},
	} {
		if c.got != c.want {
			return fmt.Errorf("%s is %q, want %q", c.what, c.got, c.want)
		}
	}
	if !bytes.Equal(a.body, body) {
		return fmt.Errorf("%d bytes came back, not the %d that were sent", len(a.body), len(body))
	}
	return nil
}

// pattern holds the answer of /big against what it writes.
func (a *answer) pattern(n int) error {
	if a.code != 200 || len(a.body) != n {
		return fmt.Errorf("got %d and %d bytes, want 200 and %d", a.code, len(a.body), n)
	}
	const line = "0123456789abcdef"
	for i, c := range a.body {
		if c != line[i%len(line)] {
			return fmt.Errorf("byte %d is %q, want %q", i, c, line[i%len(line)])
		}
	}
	return nil
}

// hundred asks a hundred times at once and returns whose answers came.
func (a *asker) hundred(ctx context.Context) ([]int, error) {
	var (
		wg   sync.WaitGroup
		mu   sync.Mutex
		pids []int
		errs []error
	)
	for range 100 {
		wg.Go(func() {
			pid, err := a.pid(ctx, "/slow?ms=50")
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				errs = append(errs, err)
			} else if !slices.Contains(pids, pid) {
				pids = append(pids, pid)
			}
		})
	}
	wg.Wait()
	if len(errs) > 0 {
		return pids, fmt.Errorf("%d of 100 failed, as %w", len(errs), errs[0])
	}
	if len(pids) == 0 {
		return nil, errors.New("nobody answered")
	}
	return pids, nil
}
