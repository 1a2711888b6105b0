package main

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"

	"github.com/heddle-go/heddle/cmd/internal/config"
	"github.com/heddle-go/heddle/worker/engine"
)

// findUser finds whom the app's workers run as: nobody in particular where
// neither user nor group is said.
func (o *appOptions) findUser() (err error) {
	if o.userName == "" && o.groupName == "" {
		o.user = nil
		return nil
	}
	if o.user, err = engine.LookupUser(o.userName, o.groupName); err != nil {
		return err
	}
	if err := o.user.Check(); errors.Is(err, engine.ErrNotRoot) {
		return fmt.Errorf("only a daemon of root can run workers as user %s; this one is of user %d", o.user, os.Geteuid())
	}
	return o.user.Check()
}

// findUsers finds every app's, and says of all that cannot be where they were
// asked for.
func (o *runOptions) findUsers() error {
	var lines []string
	for _, a := range o.wanted() {
		if err := a.findUser(); err != nil {
			lines = append(lines, fmt.Sprintf("%s: %s", o.whereUser(a), err))
		}
	}
	if lines == nil {
		return nil
	}
	return &failure{
		code: exitError,
		err:  errors.New(strings.Join(lines, "\n")),
		fine: "nothing was started.",
		try:  "try: getent passwd, getent group; workers of the daemon's own user need neither user nor group",
	}
}

// refusedUser is why an app of a file that is read anew cannot have its user.
func refusedUser(c *config.Config, app string) error {
	a := optionsOf(c.App(app))
	err := a.findUser()
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", (&runOptions{config: c}).whereUser(a), err)
}

// whereUser is where a's user, or else its group, was asked for.
func (o *runOptions) whereUser(a *appOptions) string {
	key := "user"
	if a.userName == "" {
		key = "group"
	}
	if at := o.where(a, key); at != "" {
		return at
	}
	return "--" + key
}

// where is the place of the file that says a key of a's; "": none does.
func (o *runOptions) where(a *appOptions, key string) string {
	if o.config == nil {
		return ""
	}
	name := a.name
	if name == "" {
		name = o.config.Apps[0].Name
	}
	if at := o.config.Origin(name, key); at.From == config.FromFile {
		return fmt.Sprintf("%s: app.%s.%s", at, name, key)
	}
	return ""
}

// warnRoot says that an app's workers may do whatever root may, if nobody wanted that.
func (o *appOptions) warnRoot(log *slog.Logger) {
	if os.Geteuid() != 0 || o.userName != "" {
		return
	}
	try := "heddle run --user NAME; --user root if this is meant"
	if o.tabled {
		try = `user = "NAME" in the app's table; "root" if this is meant`
	}
	log.Warn("workers run as root: whoever gets hold of one has the machine", "try", try)
}
