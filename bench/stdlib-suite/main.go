// Stdlib-suite runs Go's own net/http tests with Heddle between the handlers
// and the clients, and prints how many pass and which do not.
//
// It copies the installed GOROOT to a temporary folder, puts this module and
// what it needs into that copy's vendor folder, and has newClientServerTest, the
// helper by which net/http's tests start a server, wrap the handler. Nothing of
// Go's is changed or kept. The tests are those of serve_test, clientserver_test,
// transport_test and fs_test; each top-level one is run in a process of its own.
//
//	go run ./bench/stdlib-suite                        # with Heddle
//	go run ./bench/stdlib-suite -front reverseproxy    # with httputil.ReverseProxy
//	go run ./bench/stdlib-suite -front none            # with nothing in between
//	go run ./bench/stdlib-suite -run '^TestHijack' -v  # some, with their output
//
// Counted are the tests that have no subtests of their own, and of these the
// ones that are subtests. Exit status: 0 when at least -want subtests pass, 5 when
// fewer do, 1 when the suite could not be run.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"time"
)

type options struct {
	front   string
	run     *regexp.Regexp
	want    int
	jobs    int
	timeout time.Duration
	keep    string
	json    bool
	verbose bool
}

func main() {
	var o options
	var run string
	flag.StringVar(&o.front, "front", "heddle", "what stands between handlers and clients: heddle, reverseproxy or none")
	flag.StringVar(&run, "run", "", "only the top-level tests whose names match this expression")
	flag.IntVar(&o.want, "want", 0, "exit with 5 when fewer pass")
	flag.IntVar(&o.jobs, "jobs", runtime.NumCPU(), "tests at a time")
	flag.DurationVar(&o.timeout, "timeout", 30*time.Second, "for one top-level test")
	flag.StringVar(&o.keep, "keep", "", "folder for the copy of GOROOT, kept and used again (default: a temporary one)")
	flag.BoolVar(&o.json, "json", false, "print the result as JSON")
	flag.BoolVar(&o.verbose, "v", false, "print the output of the tests that fail")
	flag.Parse()
	if _, ok := fronts[o.front]; !ok || flag.NArg() > 0 || o.jobs < 1 {
		flag.Usage()
		os.Exit(2)
	}
	var err error
	if o.run, err = regexp.Compile(run); err != nil {
		fmt.Fprintln(os.Stderr, "stdlib-suite: -run:", err)
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	r, err := suite(ctx, &o)
	if err != nil {
		fmt.Fprintln(os.Stderr, "stdlib-suite:", err)
		os.Exit(1)
	}
	if o.json {
		err = json.NewEncoder(os.Stdout).Encode(r)
	} else {
		err = r.print(o.verbose)
	}
	switch {
	case err != nil:
		fmt.Fprintln(os.Stderr, "stdlib-suite:", err)
		os.Exit(1)
	case r.Sub < o.want:
		fmt.Fprintf(os.Stderr, "stdlib-suite: %d subtests passed, want %d\n", r.Sub, o.want)
		os.Exit(5)
	}
}

// A result is what came of a run.
type result struct {
	Go      string   `json:"go"`
	Front   string   `json:"front"`
	Total   int      `json:"total"` // passed and failed
	Passed  int      `json:"passed"`
	Sub     int      `json:"passed_subtests"` // of passed, those below a top-level test
	SubAll  int      `json:"subtests"`        // of total
	Skipped int      `json:"skipped"`
	Failed  []string `json:"failed"`

	output map[string]string // of the top-level tests in which something failed
}

func (r *result) print(verbose bool) error {
	if verbose {
		for _, name := range slices.Sorted(keys(r.output)) {
			fmt.Printf("==== %s\n%s\n", name, r.output[name])
		}
	}
	for _, name := range r.Failed {
		fmt.Println("FAIL", name)
	}
	_, err := fmt.Printf("%s, front %s: %d of %d tests pass, among them %d of %d subtests; %d fail; %d more are skipped by Go's own suite\n",
		r.Go, r.Front, r.Passed, r.Total, r.Sub, r.SubAll, len(r.Failed), r.Skipped)
	return err
}

func keys(m map[string]string) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

// suite makes the copy, builds the test program and runs it.
func suite(ctx context.Context, o *options) (*result, error) {
	root := o.keep
	if root == "" {
		dir, err := os.MkdirTemp("", "heddle-stdlib-*")
		if err != nil {
			return nil, err
		}
		defer os.RemoveAll(dir) // a temporary folder; what stays is the system's to clean
		root = dir
	}
	c, err := makeCopy(ctx, root, o.front)
	if err != nil {
		return nil, err
	}
	names, err := c.tests(o.run)
	if err != nil {
		return nil, err
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("no test of %s matches -run", strings.Join(suites[:], ", "))
	}
	r, err := c.runAll(ctx, names, o)
	if err != nil {
		return nil, err
	}
	r.Go, r.Front = runtime.Version(), o.front
	return r, nil
}
