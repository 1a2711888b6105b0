package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/heddle-go/heddle/session/ipc"
)

const (
	controlSuffix = ".sock" // of the control socket, behind the daemon's name
	probeTimeout  = time.Second
	maxSocketPath = 107 // bytes: sun_path without its final zero, unix(7)
)

// A controlFlags say which daemon a verb talks to.
type controlFlags struct {
	name string // --name
	path string // --control
	app  string // --app
}

// asking are the verbs that ask a daemon, as hints have them; those below ask one
// of its apps.
var (
	asking    = regexp.MustCompile(`\bheddle (status|ps|top|logs|deploy|rollback|releases|scale|restart|suspend|resume|reload|stop)\b( --(?:name|control|app|help)\b)?`)
	wholesale = map[string]bool{topicReload: true, topicStop: true}
)

// hint has the commands that text names ask the daemon and the app that the flags
// mean, unless it says whom itself.
func (c *controlFlags) hint(text string) string {
	return asking.ReplaceAllStringFunc(text, func(cmd string) string {
		m := asking.FindStringSubmatch(cmd)
		if m[2] != "" {
			return cmd
		}
		switch {
		case c.name != "":
			cmd += " --name " + c.name
		case c.path != "":
			cmd += " --control " + quoted(c.path)
		}
		if c.app != "" && !wholesale[m[1]] {
			cmd += " --app " + c.app
		}
		return cmd
	})
}

// hinted is err with what it has to try as hint has it.
func (c *controlFlags) hinted(err error) error {
	var f *failure
	if !errors.As(err, &f) {
		return err
	}
	g := *f
	g.try = c.hint(f.try)
	return &g
}

// quoted is a word as a shell takes it for itself.
func quoted(word string) string {
	if word != "" && strings.Trim(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./:=,@%+") == "" {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}

// quotedWords are words as a shell takes them for themselves.
func quotedWords(words []string) string {
	out := make([]string, len(words))
	for i, w := range words {
		out[i] = quoted(w)
	}
	return strings.Join(out, " ")
}

// addWhole is add for a verb that concerns all of the daemon's apps, and refuses
// one rather than to do more than was asked.
func (c *controlFlags) addWhole(cmd *cobra.Command) {
	c.add(cmd)
	_ = cmd.Flags().MarkHidden("app") // it is there
	cmd.PreRunE = func(cmd *cobra.Command, _ []string) error {
		if cmd.Flags().Changed("app") {
			return usage(cmd.Name(), "%s concerns the whole daemon, with all its apps; it takes no --app", cmd.Name())
		}
		return nil
	}
}

func (c *controlFlags) add(cmd *cobra.Command) {
	fs := cmd.Flags()
	fs.StringVar(&c.name, "name", "", "name of the daemon (default: the only one that runs)")
	fs.StringVar(&c.path, "control", "", "the daemon's control socket (default: by its name)")
	fs.StringVar(&c.app, "app", "", "which of the daemon's apps (default: the only one)")
	completeFlag(cmd, "name", completeDaemons)
	completeFlag(cmd, "app", completeApps(c))
}

// stateDir is where daemons of this user keep their sockets and releases:
// $XDG_RUNTIME_DIR/heddle, else /tmp/heddle-UID. It need not exist.
func stateDir() string {
	if dir := os.Getenv("XDG_RUNTIME_DIR"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "heddle")
	}
	return fmt.Sprintf("/tmp/heddle-%d", os.Getuid())
}

// makeStateDir makes base, a stateDir, if it is not there.
func makeStateDir(base string) error {
	if err := os.Mkdir(base, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return &failure{
			code: exitError,
			err:  fmt.Errorf("directory for control sockets: %w", err),
			fine: "nothing was started.",
			try:  "try: unset XDG_RUNTIME_DIR, or point it to a directory of yours",
		}
	}
	return checkStateDir(base)
}

// checkStateDir refuses a directory that others could have prepared or could
// look into.
func checkStateDir(dir string) error {
	fi, err := os.Lstat(dir)
	if err != nil {
		return err
	}
	uid, known := ownerOf(fi)
	var what string
	switch {
	case !fi.IsDir():
		what = "is not a directory"
	case known && uid != os.Getuid():
		what = fmt.Sprintf("belongs to user %d, not to us (%d)", uid, os.Getuid())
	case fi.Mode().Perm()&0o077 != 0:
		what = fmt.Sprintf("can be entered by others (mode %04o, want 0700)", fi.Mode().Perm())
	default:
		return nil
	}
	return &failure{
		code: exitError,
		err:  fmt.Errorf("%s %s; control sockets are not kept there", dir, what),
		try:  fmt.Sprintf("try: look who made it (ls -ld %s); chmod 0700 or remove it, or point XDG_RUNTIME_DIR to a directory of yours", dir),
	}
}

// storagePath is where the cloud of the daemon called name keeps its storage, unless
// it is told another place. It outlasts the daemon.
func storagePath(name string) string { return filepath.Join(stateDir(), name+".storage") }

// socketPath is the control socket of the daemon called name.
func socketPath(name string) string { return filepath.Join(stateDir(), name+controlSuffix) }

// running lists the names of the daemons that answer in the state directory.
func running(ctx context.Context) ([]string, error) {
	dir := stateDir()
	if err := checkStateDir(dir); err != nil {
		if errors.Is(err, os.ErrNotExist) {
			return nil, nil
		}
		return nil, err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var found []string
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), controlSuffix)
		if ok && e.Type() == os.ModeSocket && answers(ctx, filepath.Join(dir, e.Name())) {
			found = append(found, name)
		}
	}
	slices.Sort(found)
	return found, nil
}

// answers says whether somebody listens on the unix socket path.
func answers(ctx context.Context, path string) bool {
	d := net.Dialer{Timeout: probeTimeout}
	c, err := d.DialContext(ctx, "unix", path)
	if err != nil {
		return false
	}
	c.Close()
	return true
}

// find is the control socket of the daemon that the flags mean, and its name
// if that is known.
func (c *controlFlags) find(ctx context.Context, verb string) (path, name string, err error) {
	switch {
	case c.path != "" && c.name != "":
		return "", "", usage(verb, "--control and --name both say which daemon; give one")
	case c.path != "":
		return c.path, "", nil
	case c.name != "":
		if err := checkName(c.name); err != nil {
			return "", "", usage(verb, "--name: %s", err)
		}
		return socketPath(c.name), c.name, nil
	}
	found, err := running(ctx)
	switch {
	case err != nil:
		return "", "", err
	case len(found) == 0:
		return "", "", &failure{
			code: exitUnreachable,
			err:  fmt.Errorf("no daemon is running (looked in %s)", stateDir()),
			try:  "try: heddle run TARGET; or, if one was started with --control PATH, give the same here",
		}
	case len(found) > 1:
		return "", "", &failure{
			code: exitUsage,
			err:  fmt.Errorf("%d daemons are running: %s", len(found), strings.Join(found, ", ")),
			fine: "none was asked.",
			try:  fmt.Sprintf("try: heddle %s --name %s", verb, found[0]),
		}
	}
	return socketPath(found[0]), found[0], nil
}

// dial connects to the daemon that the flags mean.
func (c *controlFlags) dial(ctx context.Context, verb string) (*ipc.Client, error) {
	path, name, err := c.find(ctx, verb)
	if err != nil {
		return nil, err
	}
	client, err := ipc.Dial(ctx, path, ipc.DialOptions{Kind: "heddle", Name: verb})
	if err == nil {
		return client, nil
	}
	if !errors.Is(err, ipc.ErrUnreachable) {
		return nil, err
	}
	why := err
	var errno syscall.Errno
	if errors.As(err, &errno) {
		why = errno // what was asked is said before it
	}
	f := &failure{code: exitUnreachable, err: fmt.Errorf("no daemon answers on %s: %w", path, why), try: "try: heddle run TARGET"}
	if name == "" {
		return nil, f
	}
	f.err, f.try = fmt.Errorf("no daemon named %s answers: %w", name, why), "try: heddle run --name "+name+" TARGET"
	if errno == syscall.ENOENT || errno == syscall.ECONNREFUSED {
		f.err = fmt.Errorf("no daemon named %s is running", name)
	}
	if others, err := running(ctx); err == nil && len(others) > 0 {
		f.fine = "running: " + strings.Join(others, ", ") + "."
		f.try = "try: heddle status --name " + others[0] + ", to see what it is" // not what was asked: of another daemon it may be wrong
	}
	return nil, f
}
