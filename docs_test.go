package heddle_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

const lifecyclePage = "docs/lifecycle.md"

// TestDrawings holds the state machines that the page on lifecycles shows
// against the golden files, which the rooms' own tests hold against their tables.
func TestDrawings(t *testing.T) {
	page, err := os.ReadFile(lifecyclePage)
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{"worker/testdata/lifecycle.mermaid", "worker/engine/testdata/lifecycle.mmd", "cmd/heddle/testdata/release.mmd"} {
		drawing, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(page), "```mermaid\n"+strings.TrimSpace(string(drawing))+"\n```") {
			t.Errorf("%s does not show %s as it is", lifecyclePage, file)
		}
	}
}

var (
	promiseRow  = regexp.MustCompile(`(?m)^\| N(\d+)( \*)? \|(.*)\|$`)
	namedTest   = regexp.MustCompile("`([a-z0-9/]+)\\.(Test[A-Za-z0-9]+)`")
	namedScript = regexp.MustCompile("`([a-z0-9]+\\.txtar)`")
	namedBench  = regexp.MustCompile("`go run \\./bench/lifecycle ([a-z]+)`")
)

// TestPromises wants a row for each promise of Nodesockd that is not about
// messages, and of each row, there and in the list of its failures, a test that
// exists or the word that there is none yet.
func TestPromises(t *testing.T) {
	b, err := os.ReadFile(lifecyclePage)
	if err != nil {
		t.Fatal(err)
	}
	_, page, ok := strings.Cut(string(b), "\n## What Nodesockd promised\n")
	promises, failures, ok2 := strings.Cut(page, "\n### What its daemon died of\n")
	if !ok || !ok2 {
		t.Fatalf("%s lacks a heading that this test looks for", lifecyclePage)
	}
	seen := make(map[int]bool)
	for _, m := range promiseRow.FindAllStringSubmatch(promises, -1) {
		n, err := strconv.Atoi(m[1])
		if err != nil || n < 1 || n > 66 || n >= 14 && n <= 35 || seen[n] {
			t.Errorf("row N%s: there is no such promise, or it is there twice", m[1])
		}
		seen[n] = true
		shown(t, "N"+m[1], m[3])
	}
	for n := 1; n <= 66; n++ {
		if (n < 14 || n > 35) && !seen[n] {
			t.Errorf("row N%d is missing", n)
		}
	}
	rows := 0
	for line := range strings.Lines(failures) {
		if strings.HasPrefix(line, "| ") && !strings.HasPrefix(line, "| what happened") {
			rows++
			shown(t, fmt.Sprintf("failure %d", rows), line)
		}
	}
	if rows != 22 {
		t.Errorf("%d failures; the list has 22", rows)
	}
	for _, m := range namedTest.FindAllStringSubmatch(string(b), -1) {
		if !hasTest(t, m[1], m[2]) {
			t.Errorf("%s names %s.%s, which is not there", lifecyclePage, m[1], m[2])
		}
	}
	for _, m := range namedScript.FindAllStringSubmatch(string(b), -1) {
		if _, err := os.Stat(filepath.Join("cmd", "heddle", "testdata", m[1])); err != nil {
			t.Errorf("%s: %v", lifecyclePage, err)
		}
	}
	main, err := os.ReadFile("bench/lifecycle/main.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range namedBench.FindAllStringSubmatch(string(b), -1) {
		if !strings.Contains(string(main), strconv.Quote(m[1])) {
			t.Errorf("%s: bench/lifecycle has no scenario %s", lifecyclePage, m[1])
		}
	}
}

// shown wants a test or a word in a row.
func shown(t *testing.T, row, text string) {
	t.Helper()
	lower := strings.ToLower(text)
	if !namedTest.MatchString(text) && !namedScript.MatchString(text) && !strings.Contains(lower, "not yet") && !strings.Contains(lower, "does not apply") {
		t.Errorf("%s: no test is named, and not said why", row)
	}
}

// hasTest looks for a test in the package at dir, in the tests for any system.
func hasTest(t *testing.T, dir, name string) bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(filepath.FromSlash(dir), "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(b), "\nfunc "+name+"(t *testing.T)") {
			return true
		}
	}
	return false
}

var messagingRow = regexp.MustCompile(`(?m)^\| ([CNS])(\d+)( \*)? \|(.*)\|$`)

// TestMessagingPromises wants a row for each promise of clusterphone and
// socket-ipc, and of Nodesockd about messages, and that the tests which it names exist.
func TestMessagingPromises(t *testing.T) {
	const page = "docs/messaging.md"
	b, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	seen := make(map[string]bool)
	for _, m := range messagingRow.FindAllStringSubmatch(string(b), -1) {
		row := m[1] + m[2]
		if seen[row] {
			t.Errorf("row %s is there twice", row)
		}
		seen[row] = true
		shown(t, row, m[4])
	}
	for kind, span := range map[string][2]int{"C": {1, 21}, "S": {1, 23}, "N": {14, 35}} {
		for n := span[0]; n <= span[1]; n++ {
			row := kind + strconv.Itoa(n)
			if !seen[row] {
				t.Errorf("row %s is missing", row)
			}
			delete(seen, row)
		}
	}
	for row := range seen {
		t.Errorf("row %s: there is no such promise", row)
	}
	for _, m := range namedTest.FindAllStringSubmatch(string(b), -1) {
		if !hasTest(t, m[1], m[2]) {
			t.Errorf("%s names %s.%s, which is not there", page, m[1], m[2])
		}
	}
}
