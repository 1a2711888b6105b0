package main

import (
	"github.com/rogpeppe/go-internal/testscript"
)

// cmdStandby sets $STANDBY to the short id of a daemon's standby.
func cmdStandby(ts *testscript.TestScript, neg bool, args []string) {
	var last statusReply
	if !until(func() bool {
		st, err := worldOf(ts).ask(args[0])
		ts.Check(err)
		last = st
		for _, w := range st.Workers {
			if w.Standby && w.State == "suspended" {
				ts.Setenv("STANDBY", w.ID[:8])
				return true
			}
		}
		return false
	}) {
		ts.Fatalf("there is no standby: %+v", last)
	}
}
