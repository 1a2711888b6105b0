package systemd

import (
	"fmt"
	"net"
	"strings"
	"time"
)

// notifyPatience is how long a message may wait for room in the manager's queue.
const notifyPatience = time.Second

// Listens says whether anybody is told anything.
func (m *Manager) Listens() bool { return m != nil && m.notify != "" }

// Ready says that the daemon serves, after its start or a reload.
func (m *Manager) Ready(status string) error { return m.Notify("READY=1", statusLine(status)) }

// Status says in one line what the daemon does.
func (m *Manager) Status(status string) error { return m.Notify(statusLine(status)) }

// Reloading says that the configuration is being read anew; Ready ends it.
func (m *Manager) Reloading() error {
	now, err := monotonic()
	if err != nil {
		return err
	}
	return m.Notify("RELOADING=1", fmt.Sprintf("MONOTONIC_USEC=%d", now.Microseconds()))
}

// Stopping says that the daemon drains, and for how much longer it may.
func (m *Manager) Stopping(status string, longest time.Duration) error {
	return m.Notify("STOPPING=1", statusLine(status), fmt.Sprintf("EXTEND_TIMEOUT_USEC=%d", longest.Microseconds()))
}

// Notify sends one message of lines such as READY=1, all or nothing. It waits at
// most a second, and does nothing where nobody listens.
func (m *Manager) Notify(lines ...string) error {
	if !m.Listens() {
		return nil
	}
	// A fresh socket each time, as libsystemd does it: the manager may have made
	// its own anew meanwhile.
	c, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Net: "unixgram", Name: m.notify})
	if err != nil {
		return fmt.Errorf("systemd: notify: %w", err)
	}
	defer c.Close()
	_ = c.SetWriteDeadline(time.Now().Add(notifyPatience)) // of a socket just opened
	if _, err := c.Write([]byte(strings.Join(lines, "\n"))); err != nil {
		return fmt.Errorf("systemd: notify: %w", err)
	}
	return nil
}

// statusLine is STATUS=s, on one line.
func statusLine(s string) string {
	return "STATUS=" + strings.Map(func(r rune) rune {
		if r < ' ' {
			return ' '
		}
		return r
	}, s)
}
