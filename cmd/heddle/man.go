package main

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

func newMan() *cobra.Command {
	return &cobra.Command{
		Use:   "man DIR",
		Short: "Write the man pages",
		Long: `Man writes heddle.1 and a page for each verb, heddle-VERB.1, into DIR, which is made
if it does not exist. They are what --help says, from the same source; their date
is that of the commit that heddle was built from, or SOURCE_DATE_EPOCH.`,
		Example: `  heddle man /usr/local/share/man/man1
  heddle man . && man ./heddle-run.1`,
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return nil, cobra.ShellCompDirectiveFilterDirs
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 || args[0] == "" {
				return usage("man", "man takes the directory that the pages go to; got %q", args)
			}
			return writeMan(cmd.Root(), args[0])
		},
	}
}

// writeMan writes the pages of root and all below it.
func writeMan(root *cobra.Command, dir string) error {
	fail := func(err error) error {
		return &failure{code: exitError, err: fmt.Errorf("man pages: %w", err), fine: "pages that were written before are whole.", try: "try: ls -ld " + filepath.Dir(dir) + "; heddle man with a directory of yours"}
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fail(err)
	}
	var plain func(cmd *cobra.Command)
	plain = func(cmd *cobra.Command) {
		cmd.DisableAutoGenTag = true // who generated it, and on which day
		// What is indented is a list, to be kept line by line: in Markdown, which
		// cobra takes this for, by four spaces.
		cmd.Long = strings.ReplaceAll("\n"+cmd.Long, "\n  ", "\n      ")[1:]
		for _, c := range cmd.Commands() {
			plain(c)
		}
	}
	plain(root)
	info, _ := debug.ReadBuildInfo() // nil without modules: then nothing is known
	header := &doc.GenManHeader{Section: "1", Source: "heddle " + versionOf(info).Version, Manual: "Heddle"}
	if at, ok := builtFrom(info); ok {
		header.Date = &at
	}
	if err := doc.GenManTree(root, header, dir); err != nil {
		return fail(err)
	}
	return nil
}

// builtFrom is when the commit was made that info tells of.
func builtFrom(info *debug.BuildInfo) (time.Time, bool) {
	if info == nil || os.Getenv("SOURCE_DATE_EPOCH") != "" { // reproducible-builds.org; cobra reads it
		return time.Time{}, false
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.time" {
			at, err := time.Parse(time.RFC3339, s.Value)
			return at, err == nil
		}
	}
	return time.Time{}, false
}
