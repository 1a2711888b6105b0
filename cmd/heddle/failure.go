package main

import (
	"errors"
	"fmt"
	"strings"
)

// Exit codes, DESIGN "The command line".
const (
	exitOK          = 0
	exitError       = 1
	exitUsage       = 2
	exitRefused     = 3
	exitUnreachable = 4
	exitThreshold   = 5
	exitTimeout     = 6
)

// A failure is an error as a person reads it.
type failure struct {
	code int
	err  error  // what failed
	fine string // what is still fine; "" when there is nothing to say
	try  string // the next command to try
}

func (f *failure) Error() string {
	var b strings.Builder
	b.WriteString(f.err.Error())
	for _, line := range []string{f.fine, f.try} {
		if line != "" {
			b.WriteString("\n")
			b.WriteString(line)
		}
	}
	return b.String()
}

func (f *failure) Unwrap() error { return f.err }

// exitCode is what the process exits with for an error of run.
func exitCode(err error) int {
	var f *failure
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &f):
		return f.code
	}
	return exitError
}

// usage is the failure of a command line that says nothing we can do.
func usage(verb, format string, args ...any) error {
	if verb != "" {
		verb += " "
	}
	return &failure{code: exitUsage, err: fmt.Errorf(format, args...), try: "try: heddle " + verb + "--help"}
}
