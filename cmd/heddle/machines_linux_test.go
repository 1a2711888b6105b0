package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// A loader asks for one page again and again, on a connection of its own.
type loader struct {
	url    string
	client *http.Client

	mu   sync.Mutex
	good int      // answers with 200 since reset
	bad  []string // all others since then, the first few
	last string   // status and body
}

// ask asks once; the answer is a status and a body.
func (l *loader) ask(ctx context.Context) string {
	req, err := http.NewRequestWithContext(ctx, "GET", l.url, nil)
	if err != nil {
		return err.Error()
	}
	resp, err := l.client.Do(req)
	if err != nil {
		return err.Error()
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return err.Error()
	}
	return fmt.Sprintf("%d %s", resp.StatusCode, strings.TrimSpace(string(b)))
}

// serve asks until ctx ends.
func (l *loader) serve(ctx context.Context) {
	defer l.client.CloseIdleConnections()
	for ctx.Err() == nil {
		answer := l.ask(ctx)
		if ctx.Err() != nil {
			return
		}
		l.mu.Lock()
		l.last = answer
		if strings.HasPrefix(answer, "200 ") {
			l.good++
		} else if len(l.bad) < 10 {
			l.bad = append(l.bad, answer)
		}
		l.mu.Unlock()
	}
}

func (l *loader) reset() {
	l.mu.Lock()
	l.good, l.bad = 0, nil
	l.mu.Unlock()
}

// said is what the loader has heard since reset.
func (l *loader) said() (good int, bad []string, last string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.good, l.bad, l.last
}

// A lan is two machines with a daemon each, and one with a proxy before them. Both
// daemons have the app shop; each has one more, left or right.
type lan struct {
	t       *testing.T
	dir     string
	all     []netns // left's, right's, the proxy's
	daemons map[string]*child
	front   string // the proxy's socket
	loaders map[string][]*loader
}

// command starts heddle on a machine.
func (w *lan) command(on netns, args ...string) *child {
	w.t.Helper()
	path, err := exec.LookPath("heddle")
	if err != nil {
		w.t.Fatal(err)
	}
	cmd := exec.Command(path, args...)
	cmd.Env = append(os.Environ(), "XDG_RUNTIME_DIR="+w.dir)
	var c *child
	if err := on.do(func() (err error) { c, err = start(cmd); return err }); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(c.kill)
	return c
}

// addr is the locator of left's, 0, or right's daemon, 1.
func (w *lan) addr(i int) string { return fmt.Sprintf("10.9.0.%d:10053", i+1) }

// daemon starts left's, 0, or right's, 1, and waits until it serves.
func (w *lan) daemon(i int) {
	w.t.Helper()
	name := []string{"left", "right"}[i]
	config := filepath.Join(w.dir, name+".toml")
	text := fmt.Sprintf("listen = [%q]\nlocator = %q\njoin = [%q]\nloops = 2\n", "unix:"+filepath.Join(w.dir, name), w.addr(i), w.addr(1-i))
	for _, app := range []string{"shop", name} {
		text += fmt.Sprintf("[app.%s]\ntarget = \"app\"\nargs = [\"-say\", %q]\nworkers = 2\npaths = [\"/%s\"]\n", app, name, app)
	}
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		w.t.Fatal(err)
	}
	w.daemons[name] = w.command(w.all[i], "run", "--name", name, "--config", config)
	w.daemons[name].await(w.t, "^ready ")
}

func (w *lan) loader(app, path string) *loader {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", w.front)
	}
	return &loader{url: "http://proxy/" + app + "/http" + path, client: &http.Client{Timeout: patience, Transport: &http.Transport{DialContext: dial}}}
}

// every waits until ok says so of each of an app's loaders.
func (w *lan) every(app, what string, ok func(l *loader) bool) {
	w.t.Helper()
	for _, l := range w.loaders[app] {
		if !until(func() bool { return ok(l) }) {
			good, bad, last := l.said()
			w.t.Fatalf("%s: not %s; %d answers, then %q, the last one %q", app, what, good, bad, last)
		}
	}
}

// hears says whether a loader has heard a word at least n times, and last of all.
func hears(word string, n int) func(l *loader) bool {
	return func(l *loader) bool {
		good, _, last := l.said()
		return good >= n && last == "200 "+word
	}
}

// slow has requests that take d begin, and returns a function that waits for their
// answers.
func (w *lan) slow(daemon, d string, n int) (answers func() []string) {
	w.t.Helper()
	begins := func() int { return strings.Count(w.daemons[daemon].said.String(), "app begins "+d) }
	before, all := begins(), make([]string, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { // ends with the answer
			l := w.loader(daemon, "/slow?d="+d)
			defer l.client.CloseIdleConnections()
			all[i] = l.ask(w.t.Context())
		})
	}
	if !until(func() bool { return begins() == before+n }) {
		w.t.Errorf("%s: %d of %d slow requests have begun", daemon, begins()-before, n)
	}
	return func() []string { wg.Wait(); return all }
}

// kill ends a daemon at once, which is asked for shop, while all are asked. Only
// what it has is lost: of each client the one request that it had there.
func (w *lan) kill(name, other string) {
	t := w.t
	t.Helper()
	workers := (&world{state: filepath.Join(w.dir, "heddle")}).workers(t, name)
	theirs, ours := w.slow(name, "1m0s", 4), w.slow(other, "1.5s", 4)
	for _, ls := range w.loaders {
		for _, l := range ls {
			l.reset()
		}
	}
	w.daemons[name].kill()
	for _, a := range theirs() {
		if !strings.HasPrefix(a, "502 ") {
			t.Errorf("%s was killed: its request got %q, want 502", name, a)
		}
	}
	for _, a := range ours() {
		if a != "200 slept 1.5s" {
			t.Errorf("%s was killed: a request of %s got %q", name, other, a)
		}
	}
	w.every("shop", "answered by "+other, hears(other, 50))
	w.every(other, "answered", hears(other, 50))
	w.every(name, "absent", func(l *loader) bool { _, _, last := l.said(); return strings.HasPrefix(last, "503 ") })
	for app, most := range map[string]int{"shop": 1, other: 0} {
		for _, l := range w.loaders[app] {
			if _, bad, _ := l.said(); len(bad) > most || len(bad) == 1 && !strings.HasPrefix(bad[0], "502 ") {
				t.Errorf("%s was killed: a client of %s got %q; want at most %d times 502", name, app, bad, most)
			}
		}
	}
	for _, p := range workers {
		if !until(func() bool { now, alive := processOf(p.pid); return !alive || now != p }) {
			t.Errorf("%s was killed: its worker %d is still there", name, p.pid)
		}
	}
}

// workers are the processes of a daemon's apps.
func (w *world) workers(t *testing.T, name string) (all []process) {
	t.Helper()
	st, err := w.ask(name)
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range st.Apps {
		for _, wk := range a.Workers {
			if p, alive := processOf(wk.Pid); alive {
				all = append(all, p)
			}
		}
	}
	return all
}

// TestMachines: two daemons and a proxy, each on a machine of its own as far as the
// network goes. Apps are found and called across them; when a daemon is killed under
// load only its requests are lost, and the next ones go to the other.
func TestMachines(t *testing.T) {
	w := &lan{t: t, dir: shortDir(t), all: machines(t, 3), daemons: make(map[string]*child), loaders: make(map[string][]*loader)}
	w.front = filepath.Join(w.dir, "proxy")
	w.daemon(0)
	w.daemon(1)
	proxy := w.command(w.all[2], "proxy", "--loops", "2", "--listen", "unix:"+w.front, "--locator", w.addr(0)+","+w.addr(1))
	proxy.await(t, "^ready ")

	// A client on the third machine asks the one daemon for what the other has.
	for i, app := range []string{"right", "left"} {
		call := exec.Command("heddle", "call", app, "enqueue", "http", "--send", `{"msgpack":["GET","/say","1.1",[],""]}`, "--unpack", "--locator", w.addr(i))
		var out []byte
		if !until(func() bool { // a locator that was not there yet is asked again after a second
			c := exec.Command(call.Args[0], call.Args[1:]...)
			err := w.all[2].do(func() (err error) { out, err = c.CombinedOutput(); return err })
			return err == nil
		}) || !strings.Contains(string(out), `"`+app+`\n"`) {
			t.Fatalf("%s is not called by the other's locator: %s", app, out)
		}
	}

	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	for app, n := range map[string]int{"shop": 4, "left": 2, "right": 2} {
		for range n {
			l := w.loader(app, "/say")
			w.loaders[app] = append(w.loaders[app], l)
			wg.Go(func() { l.serve(ctx) }) // ends with ctx
		}
	}
	w.every("left", "answered", hears("left", 20))
	w.every("right", "answered", hears("right", 20))
	w.every("shop", "answered by left", hears("left", 20)) // its locator is asked first, and has it itself
	for app, ls := range w.loaders {
		for _, l := range ls {
			if _, bad, _ := l.said(); len(bad) > 0 {
				t.Errorf("%s: nobody was killed, and a client got %q", app, bad)
			}
		}
	}
	w.kill("left", "right")

	// It comes back, and is known again to whoever asks the other; then that one goes.
	w.daemon(0)
	w.every("left", "answered", hears("left", 1))
	w.kill("right", "left")
	if s := proxy.said.String(); strings.Contains(s, "panic") {
		t.Errorf("the proxy said:\n%s", s)
	}
}
