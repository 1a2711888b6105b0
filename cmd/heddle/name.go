package main

import (
	"fmt"
	"regexp"
)

// names are what a daemon may be called: its control socket, lock and
// directory are called so too.
var names = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._-]{0,63}$`)

func checkName(name string) error {
	if !names.MatchString(name) {
		return fmt.Errorf("%q cannot be a daemon's name: it takes letters, digits, '.', '_' and '-', at most 64, and begins with a letter, digit or '_'", name)
	}
	return nil
}
