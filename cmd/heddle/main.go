// Heddle runs web programs as supervised worker processes behind one fast
// front, and talks to the daemon that does.
//
//	heddle run ./examples/hello     build, start workers, serve; Ctrl-C drains
//	heddle run --http -- node x.js  the same for any program that serves plain HTTP
//	heddle run                      the apps that heddle.toml names
//	heddle status                   what the daemon and its workers do
//	heddle deploy                   build it anew and switch, without losing a request
//	heddle call                     any method of any service of a cloud
//	heddle bench                    load on an HTTP server or an app, and what became of it
//	heddle version
//
// Data goes to standard output, talk to standard error. Exit codes: 0 ok,
// 1 error, 2 usage, 3 refused or not ready, 4 daemon not reachable, 5 threshold
// failed, 6 timed out.
package main

import (
	"context"
	"fmt"
	"os"
)

func main() { os.Exit(command()) }

// command runs what the command line says and returns the exit code.
func command() int {
	err := run(context.Background(), os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "heddle:", err)
	}
	return exitCode(err)
}

// run does what args say. Its error is for a person to read: what failed, what
// is still fine, and what to try.
func run(ctx context.Context, args []string) error {
	root := newRoot()
	root.SetArgs(shield(args))
	return root.ExecuteContext(ctx)
}
