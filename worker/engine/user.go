package engine

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"slices"
	"strconv"
	"strings"
)

// ErrNotRoot reports a User that only root's processes can become.
var ErrNotRoot = errors.New("engine: only root can run workers as another user")

// A User is whom the workers of a release run as, in place of this process's user.
type User struct {
	Name     string // "": the number has none
	UID, GID int
	Groups   []int  // supplementary
	Home     string // "": none is known
}

// LookupUser finds a user and a group by their names or numbers. Without a group
// it is the user's own, without a user this process's. The error says what there is
// not.
func LookupUser(name, group string) (*User, error) {
	u := &User{UID: os.Geteuid(), GID: -1}
	found, err := findUser(name)
	switch {
	case err != nil:
		return nil, err
	case found == nil && name == "": // whoever we are
		u.GID = os.Getegid()
	case found == nil: // a number that has no name
		if err := setNumber(&u.UID, name); err != nil {
			return nil, err
		}
	default:
		u.Name, u.Home = found.Username, found.HomeDir
		if err := errors.Join(setNumber(&u.UID, found.Uid), setNumber(&u.GID, found.Gid)); err != nil {
			return nil, err
		}
		ids, err := found.GroupIds()
		if err != nil {
			return nil, fmt.Errorf("the groups of user %s: %w", found.Username, err)
		}
		for _, id := range ids {
			var n int
			if err := setNumber(&n, id); err != nil {
				return nil, err
			}
			u.Groups = append(u.Groups, n)
		}
	}
	if group == "" {
		if u.GID < 0 {
			return nil, fmt.Errorf("user %s has no name on this machine, and so no group; give it one", name)
		}
		return u, nil
	}
	g, err := user.LookupGroup(group)
	if err != nil {
		if !isNumber(group) {
			return nil, fmt.Errorf("there is no group %q on this machine", group)
		}
		return u, setNumber(&u.GID, group)
	}
	return u, setNumber(&u.GID, g.Gid)
}

// findUser finds a user; nil if a number has no name.
func findUser(name string) (*user.User, error) {
	if name == "" {
		name = strconv.Itoa(os.Geteuid())
	}
	if isNumber(name) {
		u, err := user.LookupId(name)
		if unknown := user.UnknownUserIdError(0); errors.As(err, &unknown) {
			return nil, nil
		}
		return u, err
	}
	u, err := user.Lookup(name)
	if unknown := user.UnknownUserError(""); errors.As(err, &unknown) {
		return nil, fmt.Errorf("there is no user %q on this machine", name)
	}
	return u, err
}

// isNumber says whether s is a user's or group's number: 32 bits, but for the
// highest, which means none (setresuid(2)).
func isNumber(s string) bool {
	n, err := strconv.ParseUint(s, 10, 32)
	return err == nil && n < 1<<32-1
}

func setNumber(n *int, s string) (err error) {
	if !isNumber(s) {
		return fmt.Errorf("%q is no user's or group's number", s)
	}
	*n, err = strconv.Atoi(s)
	return err
}

// Environ is base with HOME, USER and LOGNAME as they are for the user, and
// without XDG_RUNTIME_DIR, which is another's. A nil user changes nothing.
func (u *User) Environ(base []string) []string {
	if u == nil {
		return base
	}
	env := slices.DeleteFunc(slices.Clone(base), func(kv string) bool {
		k, _, _ := strings.Cut(kv, "=")
		return k == "HOME" || k == "USER" || k == "LOGNAME" || k == "XDG_RUNTIME_DIR" && u.Foreign()
	})
	if u.Name != "" {
		env = append(env, "USER="+u.Name, "LOGNAME="+u.Name)
	}
	if u.Home != "" {
		env = append(env, "HOME="+u.Home)
	}
	return env
}

func (u *User) String() string {
	if u.Name != "" {
		return u.Name
	}
	return strconv.Itoa(u.UID)
}

// Foreign says whether u is another than this process's. A nil one is not.
func (u *User) Foreign() bool {
	return u != nil && (u.UID != os.Geteuid() || u.GID != os.Getegid())
}

// Check fails with an ErrNotRoot if this process cannot start workers as u.
func (u *User) Check() error {
	switch {
	case !u.Foreign():
		return nil
	case os.Geteuid() != 0:
		return fmt.Errorf("%w: %s was asked for, and this is user %d", ErrNotRoot, u, os.Geteuid())
	case !isNumber(strconv.Itoa(u.UID)), !isNumber(strconv.Itoa(u.GID)), slices.ContainsFunc(u.Groups, func(n int) bool { return !isNumber(strconv.Itoa(n)) }):
		return fmt.Errorf("engine: user %s: a number that no user or group has", u)
	}
	return nil
}

// A gate is where the workers of another user find the engine: a directory that
// everybody may pass and nobody list, with sockets that belong to that user.
type gate struct {
	user      *User
	dir       string
	own       string   // that user's alone, below dir: what the user makes is not to be trusted
	endpoints []string // by lane
	close     func()
}

// uid is who may connect by way of the gate; without one it is this process's user.
func (g *gate) uid() int {
	if g == nil {
		return os.Geteuid()
	}
	return g.user.UID
}

// gateOf is the gate of u's workers, made when it is first asked for, and there
// until the engine ends; nil for this process's own user.
func (e *Engine) gateOf(u *User) (*gate, error) {
	if !u.Foreign() {
		return nil, nil
	}
	e.gates.mu.Lock()
	defer e.gates.mu.Unlock()
	if e.gates.closed {
		return nil, ErrClosed
	}
	id := [2]int{u.UID, u.GID}
	if g := e.gates.all[id]; g != nil {
		return g, nil
	}
	g, err := e.world.gate(e, u)
	if err != nil {
		return nil, err
	}
	if e.gates.all == nil {
		e.gates.all = make(map[[2]int]*gate)
	}
	e.gates.all[id] = g
	return g, nil
}

// closeGates removes them, with the directory if it is ours.
func (e *Engine) closeGates() {
	e.gates.mu.Lock()
	defer e.gates.mu.Unlock()
	e.gates.closed = true
	for _, g := range e.gates.all {
		g.close()
	}
	if e.gates.own != "" {
		_ = os.Remove(e.gates.own) // what is left in it was said
	}
}
