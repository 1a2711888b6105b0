package main

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/heddle-go/heddle/cmd/internal/config"
)

// newRoot makes the command tree; one file per verb.
func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "heddle",
		Short: "Run web programs as supervised workers behind one fast front",
		Long: `Heddle runs programs as several supervised worker processes behind one front: Go
programs that serve with httpcompat.ListenAndServe, whose requests travel as numbered
sessions, so that a worker that dies costs only the requests it had; and with run
--http those in any language that serve plain HTTP. A daemon runs one program, or
several apps that heddle.toml names, each for its hosts and paths.

Exit codes: 0 ok, 1 error, 2 usage, 3 refused or not ready, 4 daemon not
reachable, 5 threshold failed, 6 timed out.`,
		Example: `  heddle run ./examples/hello        build it, start workers, serve on 127.0.0.1:8080
  heddle run --http -- node server.js   any program that serves plain HTTP
  heddle run                         the apps of heddle.toml, in this directory
  heddle status                      from another terminal
  heddle deploy                      build it anew, switch without losing a request`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return nil
			}
			if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
				return usage("", "%q is no command of heddle; did you mean %s?", args[0], strings.Join(near, " or "))
			}
			return usage("", "%q is no command of heddle", args[0])
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SuggestionsMinimumDistance = 2
	root.CompletionOptions.DisableDefaultCmd = true
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return wrongFlag(cmd, err)
	})
	root.SetHelpCommand(newHelp(root))
	root.AddCommand(newRun(), newStatus(), newPs(), newTop(), newLogs(), newConfig(), newVersion())
	root.AddCommand(newProxy())
	root.AddCommand(newDeploy(), newRollback(), newReleases())
	root.AddCommand(newScale(), newRestart(), newSuspend(), newResume(), newReload(), newStop())
	root.AddCommand(newSendMsg(), newSendReq())
	root.AddCommand(newCall(), newLocator(), newBench())
	root.AddCommand(newCompletion(), newMan())
	completeNoFiles(root)
	return root
}

// badValue is how package pflag says that a flag has no such value.
var badValue = regexp.MustCompile(`^(invalid argument ".*" for ".*" flag): (strconv\.Parse[A-Za-z]+|time:)`)

// wrongFlag is what a person reads of a flag that is none, or has no such value.
func wrongFlag(cmd *cobra.Command, err error) error {
	f := &failure{code: exitUsage, err: err, try: "try: " + cmd.CommandPath() + " --help"}
	if m := badValue.FindStringSubmatch(err.Error()); m != nil {
		want := map[string]string{"strconv.ParseBool": "true or false", "time:": "a duration such as 30s"}[m[2]]
		if want == "" {
			want = "a number"
		}
		f.err = fmt.Errorf("%s: want %s", m[1], want)
	}
	name, unknown := strings.CutPrefix(err.Error(), "unknown flag: --")
	if unknown {
		if near := nearestFlag(cmd, name); near != "" {
			f.err = fmt.Errorf("%w; did you mean --%s?", err, near)
		}
	}
	if cmd.Name() == "run" && (unknown || strings.HasPrefix(err.Error(), "unknown shorthand flag")) {
		f.try += "; the program's own arguments go behind --, as in heddle run --http -- node --inspect server.js"
	}
	return f
}

// nearestFlag is the flag that name is a slip of; "": none.
func nearestFlag(cmd *cobra.Command, name string) (near string) {
	var names []string
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if !f.Hidden {
			names = append(names, f.Name)
		}
	})
	return config.Nearest(name, names)
}

// noArgs refuses arguments of a verb that takes none.
func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usage(cmd.Name(), "%s takes no arguments; got %q", cmd.Name(), args)
	}
	return nil
}

// newHelp is cobra's help, which however takes an unknown verb for an order well
// done.
func newHelp(root *cobra.Command) *cobra.Command {
	return &cobra.Command{
		Use:     "help [VERB]",
		Short:   "Explain a verb",
		Long:    "Help explains what a verb does, its flags, and shows examples.",
		Example: `  heddle help run`,
		RunE: func(_ *cobra.Command, args []string) error {
			cmd, rest, err := root.Find(args)
			if err != nil || len(rest) > 0 {
				return usage("", "there is no help on %s", quotedWords(args))
			}
			cmd.InitDefaultHelpFlag()
			return cmd.Help()
		},
	}
}
