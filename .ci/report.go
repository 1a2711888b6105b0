// Report reads what go test -json wrote, prints what deserves a look, and adds
// the counts to a file. It prints every skipped test, and on failure the output
// of what failed; it is silent about what passed.
//
//	go test -json ./... | report -skips .ci/skips -totals FILE
//
// A test that was started and never ended, a package that failed without any
// of its tests failing (it did not build, TestMain gave up, a goroutine
// panicked), and a run in which nothing ran each count as a failure. Subtests
// count as tests.
//
// With -again FILE, and if a few tests failed on their own account, it writes a
// line for each to FILE, package and test, for them to be run once more: the
// machines that this runs on are shared, and now and then so busy that a wait ends
// before its event. Data races, leaks, panics and tests that never ended are not
// among them. With -forgiven it reads the lines back: those tests passed when run
// again, count as passed, and are printed still.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"
)

func main() {
	skips := flag.String("skips", "", "file with the tests that may be skipped")
	totals := flag.String("totals", "", "file to append a line to: passed failed skipped")
	status := flag.Int("status", 0, "exit status of the command whose output this is")
	empty := flag.Bool("empty", false, "a run without any test is fine")
	again := flag.String("again", "", "file to write the tests to that deserve to be run again")
	forgiven := flag.Bool("forgiven", false, "the tests in -again have passed since")
	flag.Parse()
	if err := run(*skips, *totals, *again, *status, *empty, *forgiven); err != nil {
		fmt.Fprintln(os.Stderr, "report:", err)
		os.Exit(1)
	}
}

func run(skipsFile, totalsFile, againFile string, status int, empty, forgiven bool) error {
	allowed, err := readSkips(skipsFile)
	if err != nil {
		return err
	}
	r, err := read(os.Stdin)
	if err != nil {
		return err
	}
	if forgiven {
		b, err := os.ReadFile(againFile)
		if err != nil {
			return err
		}
		if r.forgive(strings.Split(strings.TrimSpace(string(b)), "\n")) {
			status = 0
		}
		againFile = ""
	}
	r.settle(status, empty)
	if againFile != "" {
		if list := r.again(); list != "" { // nothing is counted before they have run
			return errors.Join(os.WriteFile(againFile, []byte(list), 0o600), errors.New("tests to be run again"))
		}
	}
	r.print(os.Stdout, allowed)

	if totalsFile != "" {
		f, err := os.OpenFile(totalsFile, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintln(f, r.passed, r.failed, len(r.skipped))
		if err := errors.Join(err, f.Close()); err != nil {
			return err
		}
	}
	if r.failed > 0 {
		return fmt.Errorf("%d failed", r.failed)
	}
	if r.unlisted > 0 {
		return fmt.Errorf("%d skipped without being listed in %s", r.unlisted, skipsFile)
	}
	return nil
}

// An event is a line of go test -json; see go doc cmd/test2json and go help
// buildjson.
type event struct {
	Action      string
	Package     string
	ImportPath  string // build-output and build-fail only
	Test        string
	Output      string
	FailedBuild string // on a package's fail: the ImportPath that did not build
}

type test struct{ pkg, name string } // name is empty for the package itself

type report struct {
	passed, failed int
	skipped        []test
	unlisted       int // of the skipped, those that nobody allowed

	order  []test          // in the order of their first event
	state  map[test]string // its last event: start (a package), run (a test), pass, fail, skip
	output map[test]*strings.Builder
	build  map[string]*strings.Builder // by ImportPath
	broken map[string]string           // package to the ImportPath that did not build
	stray  strings.Builder             // lines that are no event: make, a crash of go itself
	notes  []string                    // failures that belong to no test
}

func read(in io.Reader) (*report, error) {
	r := &report{
		state:  make(map[test]string),
		output: make(map[test]*strings.Builder),
		build:  make(map[string]*strings.Builder),
		broken: make(map[string]string),
	}
	lines := bufio.NewReader(in)
	for {
		line, err := lines.ReadString('\n')
		if line != "" {
			r.add(line)
		}
		if errors.Is(err, io.EOF) {
			return r, nil
		}
		if err != nil {
			return nil, err
		}
	}
}

func (r *report) add(line string) {
	var e event
	if !strings.HasPrefix(line, "{") || json.Unmarshal([]byte(line), &e) != nil || e.Action == "" {
		r.stray.WriteString(line)
		return
	}
	if e.Action == "build-output" {
		if r.build[e.ImportPath] == nil {
			r.build[e.ImportPath] = new(strings.Builder)
		}
		r.build[e.ImportPath].WriteString(e.Output)
		return
	}
	if e.Package == "" {
		return
	}
	t := test{e.Package, e.Test}
	if r.output[t] == nil {
		r.output[t] = new(strings.Builder)
		r.order = append(r.order, t)
	}
	if e.FailedBuild != "" {
		r.broken[e.Package] = e.FailedBuild
	}
	switch e.Action {
	case "output":
		r.output[t].WriteString(e.Output)
	case "start", "run", "pass", "fail", "skip":
		// Fuzzing runs a package once per target: a failure is not taken back.
		if r.state[t] != "fail" {
			r.state[t] = e.Action
		}
	}
}

// settle turns the states into counts.
func (r *report) settle(status int, empty bool) {
	blamed := make(map[string]bool) // packages with a test that failed
	for _, t := range r.order {
		if t.name == "" {
			continue
		}
		switch r.state[t] {
		case "pass":
			r.passed++
		case "skip":
			r.skipped = append(r.skipped, t)
		case "run": // the process ended under it
			r.state[t] = "unfinished"
			r.failed++
			blamed[t.pkg] = true
		case "fail":
			r.failed++
			blamed[t.pkg] = true
		}
	}
	for _, t := range r.order {
		if t.name != "" || blamed[t.pkg] {
			continue
		}
		switch r.state[t] {
		case "fail":
			r.failed++
		case "start":
			r.state[t] = "unfinished"
			r.failed++
		}
	}
	switch {
	case r.failed > 0:
	case status != 0:
		r.failed++
		r.notes = append(r.notes, fmt.Sprintf("the command failed with status %d, though no test did", status))
	case r.passed == 0 && len(r.skipped) == 0 && !empty:
		r.failed++
		r.notes = append(r.notes, "no test ran")
	}
}

// maxAgain is how many tests of a run may be run again.
const maxAgain = 3

// again returns the tests whose failure may be the machine's, a line each; none if
// there is any other failure.
func (r *report) again() string {
	var list []string
	for _, t := range r.order {
		if r.state[t] == "unfinished" || r.broken[t.pkg] != "" {
			return ""
		}
		if r.state[t] != "fail" {
			continue
		}
		for _, bad := range []string{"DATA RACE", "panic:", "fatal error:", "goleak", "test timed out"} {
			if strings.Contains(r.output[t].String(), bad) {
				return ""
			}
		}
		top, _, _ := strings.Cut(t.name, "/")
		if line := t.pkg + " " + top; t.name != "" && !slices.Contains(list, line) {
			list = append(list, line)
		}
	}
	if len(r.notes) > 0 || len(list) == 0 || len(list) > maxAgain {
		return ""
	}
	return strings.Join(list, "\n") + "\n"
}

// forgive has the tests of the lines that again returned pass, and prints what they
// said at first. It reports whether nothing else failed.
func (r *report) forgive(lines []string) bool {
	left := make(map[string]bool) // packages with another failure
	for _, t := range r.order {
		top, _, _ := strings.Cut(t.name, "/")
		if t.name == "" || r.state[t] != "fail" {
			continue
		}
		if !slices.Contains(lines, t.pkg+" "+top) {
			left[t.pkg] = true
			continue
		}
		r.state[t] = "pass"
		fmt.Printf("--- %s %s failed, and passed when it was run again; at first it said\n%s", t.pkg, t.name, r.output[t].String())
	}
	for _, t := range r.order {
		if t.name == "" && r.state[t] == "fail" && !left[t.pkg] {
			r.state[t] = "pass"
		}
	}
	return len(left) == 0
}

func (r *report) print(w io.Writer, allowed []skip) {
	for _, t := range r.skipped {
		why := "NOT LISTED"
		if i := slices.IndexFunc(allowed, func(s skip) bool { return s.matches(t) }); i >= 0 {
			why = allowed[i].reason
		} else {
			r.unlisted++
		}
		fmt.Fprintf(w, "skipped %s %s (%s): %s\n", t.pkg, t.name, why, said(r.output[t].String()))
	}
	if r.failed == 0 {
		return
	}
	shown := make(map[string]bool) // builds already printed
	for _, t := range r.order {
		s := r.state[t]
		if s != "fail" && s != "unfinished" {
			continue
		}
		what := "failed"
		if s == "unfinished" {
			what = "did not finish"
		}
		fmt.Fprintf(w, "--- %s %s\n", strings.TrimSpace(t.pkg+" "+t.name), what)
		if b := r.broken[t.pkg]; b != "" && t.name == "" && r.build[b] != nil && !shown[b] {
			shown[b] = true
			io.WriteString(w, r.build[b].String())
		}
		io.WriteString(w, r.output[t].String())
	}
	for _, n := range r.notes {
		fmt.Fprintf(w, "--- %s\n", n)
	}
	io.WriteString(w, r.stray.String())
}

// said is what a skipped test printed of its own, on one line.
func said(output string) string {
	var words []string
	for line := range strings.Lines(output) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "=== ") || strings.HasPrefix(line, "--- ") {
			continue
		}
		words = append(words, line)
	}
	return strings.Join(words, " ")
}

// A skip is a line of the skips file.
type skip struct {
	pkg    string
	name   *regexp.Regexp
	reason string
}

func (s skip) matches(t test) bool { return s.pkg == t.pkg && s.name.MatchString(t.name) }

func readSkips(file string) ([]skip, error) {
	if file == "" {
		return nil, nil
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var skips []skip
	n := 0
	for line := range strings.Lines(string(b)) {
		n++
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		fields := strings.Fields(line)
		if len(fields) < 3 {
			return nil, fmt.Errorf("%s:%d: want a package, a regular expression and a reason", file, n)
		}
		re, err := regexp.Compile("^(?:" + fields[1] + ")$")
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %w", file, n, err)
		}
		skips = append(skips, skip{fields[0], re, strings.Join(fields[2:], " ")})
	}
	return skips, nil
}
