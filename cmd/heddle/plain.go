package main

import (
	"time"

	"github.com/spf13/cobra"

	"github.com/heddle-go/heddle/worker/engine"
)

// plainFlags are the flags of run that concern programs that serve plain HTTP.
type plainFlags struct {
	http   bool
	health string
}

func (f *plainFlags) add(cmd *cobra.Command) {
	fs := cmd.Flags()
	fs.BoolVar(&f.http, "http", false, "TARGET is a program in any language that serves plain HTTP: on descriptor 3 (LISTEN_FDS), on PORT, or on the unix socket HEDDLE_SOCKET; {port} and {socket} in ARGS are replaced")
	fs.StringVar(&f.health, "health", "/", "with --http: path that a worker must answer, with whatever status, to be ready")
}

// check refuses what cannot be meant.
func (f *plainFlags) check() error {
	if !f.http && f.health != "/" {
		return usage("run", "--health is for --http: workers with sessions say by themselves when they are ready")
	}
	if (engine.PlainHTTP{Health: f.health}).Check() != nil {
		return usage("run", "--health %q: want a path such as /healthz", f.health)
	}
	return nil
}

// options are the engine's; nil without --http.
func (f *plainFlags) options() *engine.PlainHTTP {
	if !f.http {
		return nil
	}
	return &engine.PlainHTTP{Health: f.health}
}

// An original is what a release remembers of a program that it runs in place, to
// know it again.
type original struct {
	Inode    uint64    `json:"inode,omitempty"`
	Modified time.Time `json:"modified,omitzero"`
}
