package config

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
)

// When a changed value takes effect.
type When int

const (
	Live    When = iota // at once, for the workers that run
	Deploy              // with a new release of the app
	Restart             // when the daemon is started anew
)

func (w When) String() string {
	return [...]string{"live", "deploy", "restart"}[w]
}

// A Change is a key whose values differ, or an app that comes or goes.
type Change struct {
	App      string // "": the top level
	Key      string // "": the app itself
	When     When   // Live for an app that comes or goes
	Old, New string // as TOML; "" for an app that is not there
	At       Origin // of the new value; of an app that goes, where it was
}

// Added says whether an app comes.
func (c Change) Added() bool { return c.Key == "" && c.Old == "" }

// Removed says whether an app goes.
func (c Change) Removed() bool { return c.Key == "" && c.New == "" }

func (c Change) String() string {
	switch {
	case c.Added():
		return fmt.Sprintf("app.%s is new", c.App)
	case c.Removed():
		return fmt.Sprintf("app.%s is gone", c.App)
	case c.App != "":
		return fmt.Sprintf("app.%s.%s: %s -> %s", c.App, c.Key, c.Old, c.New)
	}
	return fmt.Sprintf("%s: %s -> %s", c.Key, c.Old, c.New)
}

// Changes are those of the top level, then app by app in the order of the new
// file, then the apps that go.
type Changes []Change

// Compare tells what a daemon that runs old must do to run new. The values
// count and not where they stand, so a key that is said where it was the default
// before is no change.
func Compare(old, new *Config) Changes {
	var all Changes
	each := func(app string, o, n *App) {
		for i := range keys {
			k := &keys[i]
			if k.at == nil || k.App != (app != "") {
				continue
			}
			before, after := deref(k.at(old, o)), deref(k.at(new, n))
			if !reflect.DeepEqual(before, after) {
				all = append(all, Change{app, k.Name, k.When, literal(before), literal(after), new.Origin(app, k.Name)})
			}
		}
	}
	each("", nil, nil)
	for i := range new.Apps {
		n := &new.Apps[i]
		if o := old.App(n.Name); o != nil {
			each(n.Name, o, n)
			continue
		}
		all = append(all, Change{App: n.Name, New: n.Name, At: new.appLine(n.Name)})
	}
	for i := range old.Apps {
		if name := old.Apps[i].Name; new.App(name) == nil {
			all = append(all, Change{App: name, Old: name, At: old.appLine(name)})
		}
	}
	return all
}

// Need are the changes that take effect at that time.
func (c Changes) Need(w When) Changes {
	var some Changes
	for _, x := range c {
		if x.When == w {
			some = append(some, x)
		}
	}
	return some
}

// Of are the changes of one app; of the top level for "".
func (c Changes) Of(app string) Changes {
	var some Changes
	for _, x := range c {
		if x.App == app {
			some = append(some, x)
		}
	}
	return some
}

// Refused is why a running daemon cannot take the changes, all reasons at once,
// or nil. Then it takes none of them.
func (c Changes) Refused() error {
	var lines []string
	for _, x := range c.Need(Restart) {
		lines = append(lines, fmt.Sprintf("%s: %s needs a restart of the daemon", x.At, x))
	}
	if lines == nil {
		return nil
	}
	return errors.New(strings.Join(lines, "\n"))
}
