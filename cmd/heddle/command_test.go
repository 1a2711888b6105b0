package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"github.com/heddle-go/heddle/httpcompat/front"
	"github.com/heddle-go/heddle/worker/engine"
)

func TestExitCode(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want int
	}{
		{nil, 0},
		{errors.New("x"), 1},
		{usage("run", "x"), 2},
		{fmt.Errorf("wrapped: %w", &failure{code: exitRefused, err: errors.New("x")}), 3},
		{errors.Join(errors.New("x"), &failure{code: exitTimeout, err: errors.New("y")}), 6},
	} {
		if got := exitCode(tt.err); got != tt.want {
			t.Errorf("%v: got %d, want %d", tt.err, got, tt.want)
		}
	}
}

func TestStatusTable(t *testing.T) {
	now := time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)
	raw, err := json.Marshal(statusReply{
		Name: "shop", State: stateServing, Pid: 7, Started: now.Add(-50 * time.Hour), Listen: []string{"http://127.0.0.1:8080", "unix:/s"},
		Front: front.Stats{Requests: 7, Active: 2, Gone: 1, Refused: 3},
		AppStatus: &AppStatus{Release: "r1", Workers: []engine.WorkerStatus{
			{Index: 0, ID: "0123456789abcdef", Pid: 8, State: "online", Since: now.Add(-90 * time.Minute), Sessions: 12, Restarts: 1},
			{Index: 11, ID: "fedcba9876543210", Pid: 123456, State: "starting", Since: now.Add(time.Second)},
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := printStatus(&b, controlFlags{}, raw, false, now); err != nil {
		t.Fatal(err)
	}
	want := `shop r1, serving, up 2d2h, pid 7, http://127.0.0.1:8080 unix:/s
7 requests, 2 of them now; 1 clients gone early, 3 requests refused
INDEX  ID        PID     STATE     SINCE  SESSIONS  RESTARTS
0      01234567  8       online    1h30m  12        1
11     fedcba98  123456  starting  0s     0         0
`
	if b.String() != want {
		t.Errorf("got\n%s\nwant\n%s", &b, want)
	}
	b.Reset()
	if err := printStatus(&b, controlFlags{}, raw, true, now); err != nil || b.String() != string(raw)+"\n" {
		t.Errorf("--json: got %s, %v, want what the daemon said", &b, err)
	}
	if err := printStatus(&b, controlFlags{}, []byte("no JSON"), true, now); err == nil {
		t.Error("an answer that is no JSON is passed on")
	}
}

// TestStatusOfMore: what is shown only where there is something to show.
func TestStatusOfMore(t *testing.T) {
	now := time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)
	since := now.Add(-time.Minute)
	raw, err := json.Marshal(statusReply{
		Name: "shop", State: stateServing, Pid: 7, Started: since,
		AppStatus: &AppStatus{Release: "r2", Suspended: true, Operation: &operationStatus{Doing: "a restart of 0", Since: now.Add(-3 * time.Second), Pid: 9, Progress: "replacing 0/1"}, Workers: []engine.WorkerStatus{
			{Index: 0, ID: "0123456789abcdef", Pid: 8, State: "draining", Since: since, Sessions: 7, Release: "r1", Requests: []string{"a", "b", "c", "d", "e", "f", "g"}},
			{Index: 0, ID: "1123456789abcdef", Pid: 9, State: "broken", Since: since, Release: "r2", Reason: "out of luck"},
			{Index: -1, ID: "2123456789abcdef", Pid: 10, State: "suspended", Since: since, Release: "r2", Standby: true},
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := printStatus(&b, controlFlags{}, raw, false, now); err != nil {
		t.Fatal(err)
	}
	want := `shop r2, serving, up 1m0s, pid 7
0 requests, 0 of them now; 0 clients gone early, 0 requests refused
under way: a restart of 0, for 3s, replacing 0/1
suspended: requests wait; heddle resume lets them in
INDEX  ID        PID  STATE      SINCE  SESSIONS  RESTARTS  RELEASE  REASON
0      01234567  8    draining   1m0s   7         0         r1       -
0      11234567  9    broken     1m0s   0         0         r2       out of luck
-      21234567  10   suspended  1m0s   0         0         r2       -
pid 8 drains; its open requests: 7: a b c d e …
`
	if b.String() != want {
		t.Errorf("got\n%s\nwant\n%s", &b, want)
	}
}

func TestReleasesTable(t *testing.T) {
	now := time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)
	at := now.Add(-2 * time.Hour)
	var b bytes.Buffer
	err := printReleases(&b, releasesReply{Name: "shop", Serving: "r3", Releases: []releaseStatus{
		{release{Name: "r1", State: releaseKept, Target: "./shop", SHA256: "0123456789abcdef", Created: at}, 1},
		{release{Name: "r2", State: releaseFailed, Target: "./shop", Reason: "worker 0: exited", Created: at}, 0},
		{release{Name: "r3", State: releaseServing, Target: "./shop", From: "r1", SHA256: "0123456789abcdef", Created: at}, 4},
	}}, now)
	want := `RELEASE  STATE    AGE   WORKERS  SHA256    TARGET
r1       kept     2h0m  1        01234567  ./shop
r2       failed   2h0m  0        -         ./shop: worker 0: exited
r3       serving  2h0m  4        01234567  ./shop, from r1
`
	if err != nil || b.String() != want {
		t.Errorf("%v, got\n%s\nwant\n%s", err, &b, want)
	}
}

func TestVersionOf(t *testing.T) {
	if v := versionOf(nil); v.Version != "(devel)" || v.Commit != "" {
		t.Errorf("without build info: got %+v", v)
	}
	v := versionOf(&debug.BuildInfo{
		Main:     debug.Module{Version: "v1.2.3"},
		Settings: []debug.BuildSetting{{Key: "vcs.revision", Value: "abc"}, {Key: "vcs.modified", Value: "true"}},
	})
	var b bytes.Buffer
	if err := printVersion(&b, v, false); err != nil || !strings.HasPrefix(b.String(), "heddle v1.2.3\ncommit abc (modified)\ngo") {
		t.Errorf("got %q, %v", &b, err)
	}
}

// TestFrontOptions: the flags as the front is given them. Scripts have what is
// refused.
func TestFrontOptions(t *testing.T) {
	for _, tt := range []struct {
		args []string
		want front.Limits
	}{
		{nil, front.Limits{ReadHeaderTimeout: 10 * time.Second, ReadTimeout: -1, WriteTimeout: -1, ResponseHeaderTimeout: -1, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 1 << 20, MaxHeaders: 1000}},
		{
			[]string{"--read-header-timeout", "0", "--read-timeout", "1s", "--write-timeout", "2s", "--response-header-timeout", "3s", "--idle-timeout", "0s", "--max-header-bytes", "1024", "--max-headers", "1", "--max-body-bytes", "5", "--max-clients", "9"},
			front.Limits{ReadHeaderTimeout: -1, ReadTimeout: time.Second, WriteTimeout: 2 * time.Second, ResponseHeaderTimeout: 3 * time.Second, IdleTimeout: -1, MaxHeaderBytes: 1024, MaxHeaders: 1, MaxBody: 5, MaxClients: 9},
		},
	} {
		var f frontFlags
		cmd := &cobra.Command{}
		f.add(cmd)
		if err := cmd.ParseFlags(append(tt.args, "--listen", "proxy:unix:/a", "--listen", "[::1]:0", "--trusted-proxies", "10.0.0.0/8,unix")); err != nil {
			t.Fatal(err)
		}
		o, err := f.options(nil)
		if err != nil {
			t.Fatal(err)
		}
		if o.Limits != tt.want {
			t.Errorf("%q: got %+v, want %+v", tt.args, o.Limits, tt.want)
		}
		if want := []front.Listener{{Address: "unix:/a", Proxy: true, Mode: 0o600}, {Address: "[::1]:0"}}; !slices.Equal(o.Listeners, want) {
			t.Errorf("got %+v, want %+v", o.Listeners, want)
		}
		if o.Trusted.Empty() {
			t.Error("nobody is trusted")
		}
	}
}

func TestCheckName(t *testing.T) {
	for name, ok := range map[string]bool{
		"hello": true, "a.b-c_9": true, "_x": true,
		"": false, ".": false, "..": false, ".x": false, "-x": false, "a/b": false, "a b": false, "ä": false, strings.Repeat("x", 65): false,
	} {
		if err := checkName(name); (err == nil) != ok {
			t.Errorf("%q: got %v, want ok %v", name, err, ok)
		}
	}
}

// TestStateDir: no directory that is not ours alone.
func TestStateDir(t *testing.T) {
	dir := t.TempDir()
	mine := filepath.Join(dir, "mine")
	if err := os.Mkdir(mine, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, make := range map[string]func(path string) error{
		"file":    func(p string) error { return os.WriteFile(p, nil, 0o600) },
		"symlink": func(p string) error { return os.Symlink(mine, p) },
		"open":    func(p string) error { return errors.Join(os.Mkdir(p, 0o700), os.Chmod(p, 0o750)) },
		"other's": func(p string) error {
			if os.Getuid() != 0 {
				return os.Symlink("/", p) // only root can make one; any refusal will do
			}
			return errors.Join(os.Mkdir(p, 0o700), os.Chown(p, 1, 1))
		},
	} {
		path := filepath.Join(dir, name)
		if err := make(path); err != nil {
			t.Fatal(err)
		}
		if err := checkStateDir(path); err == nil || !strings.Contains(err.Error(), "control sockets are not kept there") {
			t.Errorf("%s: got %v, want it refused", name, err)
		}
	}
	if err := checkStateDir(mine); err != nil {
		t.Errorf("our own: %v", err)
	}
	t.Setenv("XDG_RUNTIME_DIR", mine)
	if got, want := stateDir(), filepath.Join(mine, "heddle"); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	for _, v := range []string{"", "relative"} {
		t.Setenv("XDG_RUNTIME_DIR", v)
		if got, want := stateDir(), fmt.Sprintf("/tmp/heddle-%d", os.Getuid()); got != want {
			t.Errorf("XDG_RUNTIME_DIR=%q: got %s, want %s", v, got, want)
		}
	}
}
