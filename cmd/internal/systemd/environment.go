package systemd

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// variables are those that concern this process and none that it starts:
// sd_notify(3), sd_watchdog_enabled(3), sd_listen_fds(3).
var variables = []string{"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_FDS", "LISTEN_PID", "LISTEN_PIDFDID", "LISTEN_FDNAMES"}

const (
	firstSocket = 3   // SD_LISTEN_FDS_START, sd_listen_fds(3)
	mostSockets = 256 // that are taken; systemd itself knows no limit but that of descriptors
)

// A Manager is who started the process, as the environment tells. The zero value
// is nobody.
type Manager struct {
	Watchdog time.Duration // WATCHDOG_USEC: silence for longer is death; 0: nobody minds
	Sockets  []*Socket     // by descriptor; the caller's, who closes them

	notify string // NOTIFY_SOCKET; "": nobody listens
}

// Take reads the variables and takes them out of the environment, so that
// workers and compilers do not answer in our place, and marks the descriptors
// close-on-exec. It is called once, before anything is started. The error joins
// what cannot be understood; the Manager has all the rest.
func Take() (*Manager, error) {
	env := make(map[string]string, len(variables))
	for _, name := range variables {
		if v, ok := os.LookupEnv(name); ok {
			env[name] = v
			_ = os.Unsetenv(name) // fails for no name that has been looked up
		}
	}
	m := &Manager{}
	var errs [3]error
	m.notify, errs[0] = notifySocket(env["NOTIFY_SOCKET"])
	m.Watchdog, errs[1] = watchdogTime(env)
	if ours, err := isOurs(env, "LISTEN_PID"); err != nil {
		errs[2] = err
	} else if ours {
		m.Sockets, errs[2] = takeSockets(env["LISTEN_FDS"], env["LISTEN_FDNAMES"])
	}
	return m, errors.Join(errs[:]...)
}

func notifySocket(path string) (string, error) {
	switch {
	case path == "", path[0] == '/', path[0] == '@':
		return path, nil
	}
	return "", fmt.Errorf("systemd: NOTIFY_SOCKET %q is neither a path nor an abstract name; nobody is told anything", path)
}

// watchdogTime is WATCHDOG_USEC, if it is meant for this process; without
// WATCHDOG_PID it is.
func watchdogTime(env map[string]string) (time.Duration, error) {
	usec := env["WATCHDOG_USEC"]
	if usec == "" {
		return 0, nil
	}
	if env["WATCHDOG_PID"] != "" {
		if ours, err := isOurs(env, "WATCHDOG_PID"); !ours {
			return 0, err
		}
	}
	n, err := strconv.ParseInt(usec, 10, 64)
	if err != nil || n <= 0 || n > int64(1<<63-1)/1000 {
		return 0, fmt.Errorf("systemd: WATCHDOG_USEC %q is no number of microseconds; the watchdog is not fed", usec)
	}
	return time.Duration(n) * time.Microsecond, nil
}

// isOurs says whether the variable called name has this process's id. Another
// one means a parent that did not clean up, which is no error.
func isOurs(env map[string]string, name string) (bool, error) {
	v := env[name]
	if v == "" {
		return false, nil
	}
	pid, err := strconv.Atoi(v)
	if err != nil || pid <= 0 {
		return false, fmt.Errorf("systemd: %s %q is no process id; what comes with it is left alone", name, v)
	}
	return pid == os.Getpid(), nil
}

// namesOf are the n sockets' names; systemd calls one without a name unknown.
func namesOf(n int, list string) ([]string, error) {
	names := make([]string, n)
	var given []string
	if list != "" {
		given = strings.Split(list, ":")
	}
	for i := range names {
		if names[i] = "unknown"; i < len(given) && given[i] != "" {
			names[i] = given[i]
		}
	}
	if len(given) > n {
		return names, fmt.Errorf("systemd: LISTEN_FDNAMES has %d names for %d descriptors", len(given), n)
	}
	return names, nil
}
