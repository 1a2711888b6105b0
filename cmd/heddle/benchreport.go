package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/heddle-go/heddle/cmd/internal/bench"
	"github.com/heddle-go/heddle/cmd/internal/bench/report"
)

// benchFiles are the files that reports of a run go to.
type benchFiles struct {
	csv, html, hdr, save string // paths; "": none

	opened []*os.File
	write  []func(io.Writer, *bench.Result) error // for each of opened
}

func (f *benchFiles) add(fs *pflag.FlagSet) {
	fs.StringVar(&f.csv, "csv", "", "a file for the intervals")
	fs.StringVar(&f.html, "html", "", "a file for a page of charts, which needs no other file and no network")
	fs.StringVar(&f.hdr, "hdr", "", "a file for the latencies of each interval, as a log of HdrHistogram")
}

// create makes the files: before a run, not after an hour of it.
func (f *benchFiles) create() error {
	for _, w := range []struct {
		path  string
		write func(io.Writer, *bench.Result) error
	}{
		{f.csv, func(to io.Writer, r *bench.Result) error { return r.CSV(to) }},
		{f.html, report.Page},
		{f.hdr, report.HDRLog},
		{f.save, func(to io.Writer, r *bench.Result) error { return r.Write(to) }},
	} {
		if w.path == "" {
			continue
		}
		if w.path == "-" {
			f.close()
			return usage("bench", "-: reports go to files; what goes to standard output is the summary, or --json")
		}
		file, err := os.Create(w.path)
		if err != nil {
			f.close()
			return err
		}
		f.opened, f.write = append(f.opened, file), append(f.write, w.write)
	}
	return nil
}

// close gives the files back; after fill it does nothing.
func (f *benchFiles) close() {
	for _, file := range f.opened {
		_ = file.Close() // nothing was written
	}
	f.opened = nil
}

// fill writes what they are for, and closes them.
func (f *benchFiles) fill(r *bench.Result) (err error) {
	for i, file := range f.opened {
		err = errors.Join(err, f.write[i](file, r), file.Close())
	}
	f.opened = nil
	return err
}

// reportBench prints and writes what came of a run, and fails if it is not what was
// wanted.
func reportBench(out io.Writer, r *bench.Result, asJSON bool, limits bench.Thresholds, files *benchFiles) error {
	show := r.Text
	if asJSON {
		show = r.Write
	}
	if err := errors.Join(show(out), files.fill(r)); err != nil {
		return err
	}
	if failed := limits.Failed(r); len(failed) > 0 {
		return &failure{code: exitThreshold, err: fmt.Errorf("a threshold failed: %s", strings.Join(failed, "; "))}
	}
	return nil
}

// readResult reads what bench --save or --json has written.
func readResult(path string) (*bench.Result, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	r, err := bench.Read(f)
	if err != nil {
		return nil, &failure{code: exitError, err: fmt.Errorf("%s: %w", path, err), try: "try: a file of heddle bench --save"}
	}
	return r, nil
}

func newBenchReport() *cobra.Command {
	var (
		files  benchFiles
		asJSON bool
	)
	cmd := &cobra.Command{
		Use:   "report [flags] FILE",
		Short: "Report a run of heddle bench that was saved",
		Long: `Report makes the reports of a run whose result heddle bench --save, or --json, has
written to FILE: the summary, and with --html, --csv and --hdr files as bench itself
writes them. Thresholds are held against it likewise; exit code 5: one failed.`,
		Example: `  heddle bench report run.json
  heddle bench report run.json --html run.html --hdr run.hlog
  heddle bench report run.json --max-p99 10ms --max-errors 0`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usage("bench report", "bench report needs one file; got %s", quotedWords(args))
			}
			return nil
		},
		ValidArgsFunction: completeFiles,
	}
	fs := cmd.Flags()
	fs.SortFlags = false
	fs.BoolVar(&asJSON, "json", false, "print the whole result as JSON")
	files.add(fs)
	limits := addThresholds(fs)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		r, err := readResult(args[0])
		if err != nil {
			return err
		}
		if files.hdr != "" && !r.Kept() {
			return &failure{code: exitError, err: report.ErrNotKept, fine: "nothing was written."}
		}
		if err := files.create(); err != nil {
			return err
		}
		return reportBench(cmd.OutOrStdout(), r, asJSON, limits(), &files)
	}
	return cmd
}
