package main

import (
	"context"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/heddle-go/heddle/examples/apps/internal/behind"
)

func TestMain(m *testing.M) { os.Exit(behind.Main(m)) }

// What litmus makes of a server: "basic: 16 of 16", and so on.
var summary = regexp.MustCompile("summary for `(\\w+)': of (\\d+) tests run: (\\d+) passed")

// Litmus, Debian's tests of WebDAV servers, finds the same behind sessions as
// alone.
func TestLitmus(t *testing.T) {
	litmus := behind.Need(t, "litmus", "litmus")
	run := func(url string) string {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		defer cancel()
		cmd := exec.CommandContext(ctx, litmus, "-k", url+"/")
		cmd.Dir = t.TempDir() // it leaves logs there
		cmd.Env = append(os.Environ(), "TESTS=basic copymove props")
		out, err := cmd.CombinedOutput()
		if !strings.Contains(string(out), "summary for") { // its status tells of failed tests, which are counted below
			t.Fatalf("%v\n%s", err, out)
		}
		var b strings.Builder
		for _, m := range summary.FindAllStringSubmatch(string(out), -1) {
			b.WriteString(m[1] + ": " + m[3] + " of " + m[2] + "\n")
		}
		return b.String()
	}
	alone := run(behind.Alone(t, "webdav"))
	got := run(behind.Heddle(t, "webdav", []string{"--workers", "1"}))
	const want = "basic: 16 of 16\ncopymove: 13 of 13\nprops: 29 of 30\n"
	if got != alone || got != want {
		t.Errorf("alone:\n%sbehind heddle:\n%swant:\n%s", alone, got, want)
	}
}
