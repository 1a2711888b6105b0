package config

import (
	"fmt"
	"regexp"
)

// names are what a daemon or an app may be called: its sockets, lock and
// directory are called so too.
var names = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._-]{0,63}$`)

// CheckName refuses a name that cannot be one; whose says of what, such as
// "a daemon's".
func CheckName(whose, name string) error {
	if !names.MatchString(name) {
		return fmt.Errorf("%q cannot be %s name: it takes letters, digits, '.', '_' and '-', at most 64, and begins with a letter, digit or '_'", name, whose)
	}
	return nil
}
