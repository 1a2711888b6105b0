package main

import (
	"github.com/spf13/cobra"

	"github.com/heddle-go/heddle/httpcompat"
	"github.com/heddle-go/heddle/worker/engine"
)

// foreignFlags are the flags of run that concern workers written for Cocaine.
type foreignFlags struct {
	dialect string // "": TARGET is no such
	event   string
}

func (f *foreignFlags) add(cmd *cobra.Command) {
	fs := cmd.Flags()
	fs.StringVar(&f.dialect, "dialect", "", "TARGET is a worker written for Cocaine, in any language: v0 for frameworks of 0.10 and 0.11, v1 for those of 0.12; "+engine.ArgsHere+" in ARGS is where it gets Cocaine's own arguments (default: behind them)")
	completeFlag(cmd, "dialect", cobra.FixedCompletions([]string{string(engine.DialectV0), string(engine.DialectV1)}, cobra.ShellCompDirectiveNoFileComp))
	fs.StringVar(&f.event, "event", httpcompat.DefaultEvent, "with --dialect: event as which workers get HTTP requests")
}

// is says whether the programs are such workers.
func (f *foreignFlags) is() bool { return f.dialect != "" }

// check refuses what cannot be meant.
func (f *foreignFlags) check(http bool) error {
	switch {
	case engine.Dialect(f.dialect).Check() != nil:
		return usage("run", "--dialect %q: want v0 or v1", f.dialect)
	case f.is() && http:
		return usage("run", "--http and --dialect: a program serves plain HTTP or is a Cocaine worker; give one of them")
	case f.is() && f.event == "":
		return usage("run", "--event is empty: want a name such as http")
	case !f.is() && f.event != httpcompat.DefaultEvent:
		return usage("run", "--event is for --dialect: Heddle's own workers know no other")
	}
	return nil
}
