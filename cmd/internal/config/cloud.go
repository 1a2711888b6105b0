package config

import (
	"fmt"
	"net"
	"path/filepath"
	"strings"
)

// CheckLocator refuses what is no address for a cloud. One without a host would be all
// of this machine's, which has to be said.
func CheckLocator(s string) error {
	if s == "" {
		return nil
	}
	if path, ok := strings.CutPrefix(s, "unix:"); ok {
		// Its services listen beside it, at PATH.N.
		if n := len(path) + len(".9999"); path == "" || n > maxSocketPath {
			return fmt.Errorf("%q: want unix:/path, of at most %d bytes", s, maxSocketPath-len(".9999"))
		}
		return nil
	}
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		return fmt.Errorf("%q: want host:port or unix:/path", s)
	}
	if _, err := net.LookupPort("tcp", port); err != nil {
		return fmt.Errorf("%q: %q is no port", s, port)
	}
	if host == "" {
		return fmt.Errorf("%q names no host; want 127.0.0.1:%s, or 0.0.0.0:%[2]s if other machines are to reach it, where nobody is asked who they are", s, port)
	}
	return nil
}

// CheckCloud refuses what is no locator's address, or list of locators with commas.
func CheckCloud(s string) error {
	if s == "" {
		return nil
	}
	for _, one := range strings.Split(s, ",") {
		if path, ok := strings.CutPrefix(one, "unix:"); ok {
			if !filepath.IsAbs(path) {
				return fmt.Errorf("%q: want host:port or unix:/path, with a comma between several", one)
			}
			continue
		}
		host, port, err := net.SplitHostPort(one)
		if err != nil || host == "" {
			return fmt.Errorf("%q: want host:port or unix:/path, with a comma between several", one)
		}
		if _, err := net.LookupPort("tcp", port); err != nil {
			return fmt.Errorf("%q: %q is no port", one, port)
		}
	}
	return nil
}

// CheckService refuses a name that one of a cloud's own services has.
func CheckService(app string) error {
	switch app {
	case "locator", "logging", "storage", "node":
		return fmt.Errorf("a cloud has a service named %s; give the app another name", app)
	}
	return nil
}
