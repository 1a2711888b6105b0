package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestReloadUnderLoad reloads a daemon of three apps, two by host and one by path,
// one of them of plain HTTP, while sockets that never retry ask all three.
func TestReloadUnderLoad(t *testing.T) {
	dir := t.TempDir()
	const apps = `listen = ["127.0.0.1:0"]
[app.shop]
target = "app"
args = ["-say", "shop %[1]d"]
workers = 2
hosts = ["shop.example"]
[app.blog]
target = "app"
args = ["-say", "blog %[1]d", "-addr", "127.0.0.1:{port}"]
http = true
health = "/say"
workers = 2
hosts = ["*.blog.example"]
%[2]s
[app.rest]
target = %[3]q
args = ["-say", "rest %[1]d"]
workers = %[4]d
paths = ["/say"]
`
	write := func(version int, more, rest string, workers int) {
		t.Helper()
		text := fmt.Sprintf(apps, version, more, rest, workers)
		if err := os.WriteFile(filepath.Join(dir, "heddle.toml"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(0, "", "app", 1)
	d := startDaemon(t, dir, "three", "--config", "heddle.toml")
	loads := map[string]*plainLoad{}
	for name, host := range map[string]string{"shop": "shop.example", "blog": "my.blog.example", "rest": "h"} {
		var answers []string
		for version := range 4 {
			answers = append(answers, fmt.Sprintf("%s %d\n", name, version))
		}
		loads[name] = loadOf(t, d.addr, "GET /say HTTP/1.1\r\nHost: "+host+"\r\n\r\n", answers...)
	}
	busy := func() { // some more of each have been answered
		t.Helper()
		for name, l := range loads {
			before := l.good.Load()
			if !until(func() bool { return l.good.Load() > before+50 }) {
				t.Fatalf("%s does not answer: %v\n%s", name, l.first.Load(), d.said.String())
			}
		}
	}
	newest := func(want int) {
		t.Helper()
		for name, l := range loads {
			if got := l.last.Load(); got != fmt.Sprintf("%s %d\n", name, want) {
				t.Errorf("%s answers %q after version %d was loaded", name, got, want)
			}
		}
	}
	busy()

	// Good ones: new releases of all three, more workers, another queue.
	for version := 1; version <= 2; version++ {
		write(version, "queue = 10000", "app", version+1)
		if out, err := d.heddle("reload"); err != nil {
			t.Fatalf("reload: %v\n%s\n%s", err, out, d.said.String())
		}
		busy()
		newest(version)
	}

	// A bad one as a whole: a key that nobody knows. Nothing changes.
	write(3, "quwue = 9", "app", 3)
	if out, err := d.heddle("reload"); err == nil || !strings.Contains(out, "queue") {
		t.Errorf("a bad file: %v\n%s", err, out)
	}
	busy()
	newest(2)

	// A bad one of one app: the others get theirs.
	write(3, "", "fails", 3)
	out, err := d.heddle("reload")
	if err == nil || !strings.Contains(out, "app rest:") {
		t.Errorf("one app's program fails: %v\n%s", err, out)
	}
	busy()
	for name, want := range map[string]string{"shop": "shop 3\n", "blog": "blog 3\n", "rest": "rest 2\n"} {
		if got := loads[name].last.Load(); got != want {
			t.Errorf("%s answers %q, want %q", name, got, want)
		}
	}

	for name, l := range loads {
		l.stop()
		if l.bad.Load() > 0 {
			t.Errorf("%s: %d requests answered, %d lost: %v", name, l.good.Load(), l.bad.Load(), l.first.Load())
		}
	}
	if out, err := d.heddle("stop"); err != nil {
		t.Errorf("stop: %v\n%s", err, out)
	}
	<-d.done
	if left, err := filepath.Glob(filepath.Join(d.state, "heddle", "*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// TestReloadFailsWhole: of an app whose deploy fails nothing is changed, and nobody
// loses a route to it.
func TestReloadFailsWhole(t *testing.T) {
	dir := t.TempDir()
	write := func(first, second, target, limit string) {
		t.Helper()
		text := fmt.Sprintf(`listen = ["127.0.0.1:0"]
[app.a]
target = %q
args = ["-say", "a"]
workers = 1
hosts = [%q]
%s
[app.b]
target = "app"
args = ["-say", "b"]
workers = 1
hosts = [%q]
`, target, first, limit, second)
		if err := os.WriteFile(filepath.Join(dir, "heddle.toml"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("a.example", "b.example", "app", "")
	d := startDaemon(t, dir, "swap", "--config", "heddle.toml")
	says := func(host, want string, code int) {
		t.Helper()
		req, err := http.NewRequest("POST", "http://"+d.addr+"/say", strings.NewReader("five!"))
		if err != nil {
			t.Fatal(err)
		}
		req.Host, req.Close = host, true
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != code || code == 200 && string(b) != want {
			t.Errorf("%s: %d %q, want %d %q", host, resp.StatusCode, b, code, want)
		}
	}
	says("a.example", "a\n", 200)
	write("b.example", "a.example", "fails", "max-body-bytes = 1")
	if out, err := d.heddle("reload"); err == nil || !strings.Contains(out, "app a: ") || !strings.Contains(out, "hosts and paths stay as they were (b)") {
		t.Errorf("reload: %v\n%s", err, out)
	}
	says("a.example", "a\n", 200)
	says("b.example", "b\n", 200)
	write("b.example", "a.example", "app", "max-body-bytes = 1")
	if out, err := d.heddle("reload"); err != nil {
		t.Errorf("reload: %v\n%s", err, out)
	}
	says("a.example", "b\n", 200)
	says("b.example", "", 413)
	if out, err := d.heddle("stop"); err != nil {
		t.Errorf("stop: %v\n%s", err, out)
	}
	<-d.done
}
