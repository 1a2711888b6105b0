package main

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/heddle-go/heddle/service/servicetest"
)

func writeTable(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "peers.toml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestReadPeers(t *testing.T) {
	peers, err := readPeers(writeTable(t, `
[[peer]]
name = "a"
kind = "runtime"
dialect = "v0"
start = ["{dir}/a", "-p", "{port}", "{program}"]
[peer.expect]
GET = "404"
[[peer]]
name = "b"
kind = "client"
dialect = "v1"
start = ["sh"]
`), "/none")
	if err != nil {
		t.Fatal(err)
	}
	if got, want := strings.Join(peers[0].command([]string{"w", "x"}, "{port}", "7"), " "), "/none/a -p 7 w x"; got != want {
		t.Errorf("command: got %q, want %q", got, want)
	}
	if got := peers[0].missing(); got == "" {
		t.Error("/none/a is not missing")
	}
	if got := peers[1].missing(); got != "" {
		t.Errorf("sh is missing: %s", got)
	}
}

func TestReadPeersRefuses(t *testing.T) {
	for name, text := range map[string]string{
		"no name":    "[[peer]]\nkind = \"worker\"\ndialect = \"v0\"\nstart = [\"a\"]",
		"kind":       "[[peer]]\nname = \"a\"\nkind = \"what\"\ndialect = \"v0\"\nstart = [\"a\"]",
		"dialect":    "[[peer]]\nname = \"a\"\nkind = \"worker\"\nstart = [\"a\"]",
		"no start":   "[[peer]]\nname = \"a\"\nkind = \"worker\"\ndialect = \"v0\"",
		"another":    "[[peer]]\nname = \"a\"\nkind = \"worker\"\ndialect = \"v0\"\nstart = [\"a\"]\nstop = 1",
		"twice":      strings.Repeat("[[peer]]\nname = \"a\"\nkind = \"worker\"\ndialect = \"v0\"\nstart = [\"a\"]\n", 2),
		"not a toml": "[[peer",
	} {
		if peers, err := readPeers(writeTable(t, text), "/"); err == nil {
			t.Errorf("%s: got %+v, want an error", name, peers)
		}
	}
}

func TestJudge(t *testing.T) {
	p := &peer{Name: "a", Expect: map[string]string{"x": "got 502", "y": "ready"}}
	for _, c := range []struct {
		check, seen string
		err         error
		want        verdict
	}{
		{"z", "fine", nil, good},
		{"z", "", errors.New("no"), bad},
		{"x", "", errors.New("got 502, what else"), expected},
		{"x", "fine", nil, bad}, // better than expected is told, too
		{"y", "ready in 1s", nil, expected},
	} {
		if got := p.judge("w", c.check, c.seen, c.err); got.verdict != c.want {
			t.Errorf("judge(%q, %q, %v): got %+v, want verdict %d", c.check, c.seen, c.err, got, c.want)
		}
	}
}

func TestWrite(t *testing.T) {
	page := filepath.Join(t.TempDir(), "page.md")
	if err := os.WriteFile(page, []byte("before\n"+pageBegin+"old\n"+pageEnd+"after\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p := &peer{Name: "a", Kind: kindWorker, Dialect: "v1", Version: "1|2", Needs: []string{"sh"}}
	q := &peer{Name: "b", Kind: kindWorker, Needs: []string{"/none"}}
	rows := table{
		{p, "us", "GET", "200", good}, {p, "us", "POST", "<no>", bad}, {p, "us", "PUT", "1", good},
		{p, "them", "GET", "200", good}, {p, "them", "POST", "200", good}, {p, "them", "PUT", "1", good},
		{q, "us", "GET", "200", good}, {q, "us", "PUT", "2", good}, {q, "us", "all", "not there", absent},
	}
	if err := rows.write(page, []*peer{p, q}, time.Unix(0, 0)); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"before\n" + pageBegin + "Seen on 1970-01-01.", "| a | worker | v1 | 1\\|2 |", "| b | worker |  |  (was not there) |", "### Kind worker\n", "| GET | 200 | all |", "| POST | FAILS: &lt;no> | a (us) |\n| POST | 200 | a (them) |\n", "| PUT | 1 | a |", "| PUT | 2 | b |", pageEnd + "after\n"} {
		if !bytes.Contains(b, []byte(want)) {
			t.Errorf("the page lacks %q:\n%s", want, b)
		}
	}
	if bytes.Contains(b, []byte("old\n")) || bytes.Contains(b, []byte("not there |\n| all")) {
		t.Error("the old table is still there")
	}
	if err := rows.failed(); err == nil || !strings.Contains(err.Error(), "1 of 9") {
		t.Errorf("failed: got %v", err)
	}
	if err := os.WriteFile(page, []byte("no marks"), 0o600); err != nil {
		t.Fatal(err)
	}
	if rows.write(page, nil, time.Now()) == nil {
		t.Error("a page without marks was written")
	}
}

// TestTransport asks an app of servicetest's clouds, as the checks ask real ones.
func TestTransport(t *testing.T) {
	for _, dialect := range []string{"v0", "v1"} {
		p := &peer{Dialect: dialect}
		c := servicetest.New(t, p.dialect(), servicetest.Options{})
		c.App(appName, map[string]func(*servicetest.Call){"http": func(call *servicetest.Call) {
			piece, err := call.Piece()
			if err != nil || !strings.Contains(piece, "/pid?x=1") {
				_ = call.Error(42, 1, "what is "+piece)
				return
			}
			_ = call.Write("\x92\xcc\xc9\x91\x92\xa1A\xa1b") // 201, A: b
			for _, part := range []string{"one", "two"} {
				if dialect == "v0" {
					part = "\xa3" + part
				}
				_ = call.Write(part)
			}
		}})
		a := &asker{"http://" + appName, &http.Client{Transport: &cloudTransport{c.Endpoint(), p.dialect(), appName, "http"}}}
		got, err := a.ask(t.Context(), "POST", "/pid?x=1", []byte("body"))
		if err != nil || got.code != 201 || string(got.body) != "onetwo" || got.header.Get("A") != "b" {
			t.Errorf("%s: got %+v, %v", dialect, got, err)
		}
		if got, err = a.ask(t.Context(), "GET", "/other", nil); err != nil || got.code != 500 || !strings.Contains(string(got.body), "what is") {
			t.Errorf("%s, the app's error: got %+v, %v", dialect, got, err)
		}
		a.client.Transport.(*cloudTransport).app = "nobody"
		if got, err = a.ask(t.Context(), "GET", "/pid", nil); err == nil && got.code != 500 {
			t.Errorf("%s, no such app: got %+v", dialect, got)
		}
	}
}

// TestChecksFail: the checks see what is wrong.
func TestChecksFail(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write([]byte("7"))
	}))
	defer s.Close()
	failed := make(map[string]bool)
	a := &asker{s.URL, s.Client()}
	a.httpChecks(context.Background(), func(check, seen string, err error) { failed[check] = err != nil })
	for check, want := range map[string]bool{"GET": false, "POST, echo": true, "PUT, no body": true, "big answer": true, "big body, echo": true, "100 at once": false, "clients go": false} {
		if got, ok := failed[check]; !ok || got != want {
			t.Errorf("%s: failed is %t, want %t", check, got, want)
		}
	}
	if seen, err := a.failed(context.Background()); err == nil {
		t.Errorf("a handler that does not fail: got %q", seen)
	}
}

func TestProcess(t *testing.T) {
	p, err := begin(t.TempDir(), []string{"sh", "-c", "echo first; echo last; exec sleep 60"})
	if err != nil {
		t.Fatal(err)
	}
	err = p.await(t.Context(), "its words", func() error {
		if p.out.last() != "last" {
			return errors.New(p.out.String())
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	if how := p.stop(10 * time.Second); !strings.Contains(how, "terminated") {
		t.Errorf("stop: got %q", how)
	}
	if err := p.await(t.Context(), "nothing", func() error { return errors.New("never") }); err == nil || !strings.Contains(err.Error(), "last words: last") {
		t.Errorf("await of a process that has ended: got %v", err)
	}
	if _, err := begin(t.TempDir(), []string{"/no/such/program"}); err == nil {
		t.Error("no such program began")
	}
}
