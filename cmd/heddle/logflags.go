package main

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/heddle-go/heddle/cmd/internal/logs"
)

// logFlags are the flags of run that concern logs, as given.
type logFlags struct {
	stdout, stderr string // files; "": none
	ring           size

	access       string // file, "-", or "" for none
	accessFormat string

	rotateSize size
	rotateAge  time.Duration
	keep       int
	gzip       bool
}

// Formats of the access log.
const (
	formatCommon = "common"
	formatJSON   = "json"
)

func (f *logFlags) add(cmd *cobra.Command) {
	fs := cmd.Flags()
	f.ring, f.rotateSize = logs.DefaultRing, 100<<20
	fs.StringVar(&f.stdout, "log-stdout", "", "file that what workers write to standard output is appended to")
	fs.StringVar(&f.stderr, "log-stderr", "", "file for what they write to standard error; may be the same")
	fs.Var(&f.ring, "log-memory", "bytes of workers' lines that are kept for heddle logs")
	fs.StringVar(&f.access, "access-log", "", "file that gets a line for each request, or - for standard output")
	fs.StringVar(&f.accessFormat, "access-log-format", formatCommon, "common or json")
	completeFlag(cmd, "access-log-format", cobra.FixedCompletions([]string{formatCommon, formatJSON}, cobra.ShellCompDirectiveNoFileComp))
	fs.Var(&f.rotateSize, "log-rotate-size", "bytes after which a log file is rotated; 0: never")
	fs.DurationVar(&f.rotateAge, "log-rotate-age", 0, "age after which a log file is rotated; 0: never")
	fs.IntVar(&f.keep, "log-keep", logs.DefaultKeep, "rotated log files that are kept, of each")
	fs.BoolVar(&f.gzip, "log-gzip", false, "compress rotated log files")
}

// leastRing and leastRotate leave room for a few of the longest lines.
const (
	leastRing   = 64 << 10
	leastRotate = 1 << 10
)

// check refuses what cannot be meant. Files are not looked at: one that cannot be
// written costs lines and is reported.
func (f *logFlags) check() error {
	switch {
	case f.accessFormat != formatCommon && f.accessFormat != formatJSON:
		return usage("run", "--access-log-format %s: want %s or %s", f.accessFormat, formatCommon, formatJSON)
	case f.ring < leastRing || f.ring > 1<<30:
		return usage("run", "--log-memory %s: want a number of bytes from 64Ki to 1Gi", &f.ring)
	case f.rotateSize < 0 || f.rotateSize > 0 && f.rotateSize < leastRotate:
		return usage("run", "--log-rotate-size %s: want at least 1024 bytes (1Ki; 1K is 1000), or 0 for never", &f.rotateSize)
	case f.rotateAge < 0 || f.rotateAge > 0 && f.rotateAge < time.Second:
		return usage("run", "--log-rotate-age %v: want at least 1s, or 0 for never", f.rotateAge)
	case f.keep < 1 || f.keep > 10000:
		return usage("run", "--log-keep %d: want a number from 1 to 10000", f.keep)
	case f.stdout == "-" || f.stderr == "-":
		return usage("run", "--log-stdout and --log-stderr want a file; what workers write is on standard error anyway")
	case f.access != "" && f.access != "-" && (f.access == f.stdout || f.access == f.stderr):
		return usage("run", "--access-log %s: want a file of its own", f.access)
	}
	return nil
}

// makeDirs makes the directories of the files that are not there.
func (f *logFlags) makeDirs() error {
	for _, path := range []string{f.stdout, f.stderr, f.access} {
		if path == "" || path == "-" {
			continue
		}
		dir := filepath.Dir(path)
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return &failure{code: exitError, err: fmt.Errorf("directory of the log file %s: %w", path, err), fine: "nothing was started.", try: "try: ls -ld " + quoted(dir) + "; or another path"}
		}
	}
	return nil
}

func (f *logFlags) file(path string) logs.FileOptions {
	return logs.FileOptions{Path: path, MaxSize: int64(f.rotateSize), MaxAge: f.rotateAge, Keep: f.keep, Gzip: f.gzip}
}
