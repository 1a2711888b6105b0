package config

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/heddle-go/heddle/httpcompat/front"
)

func onText(f func(string) error) checkFunc {
	return func(v any) error { return f(v.(string)) }
}

// A several is all that is wrong with a value, in its order.
type several []error

func (s several) Error() string { return errors.Join(s...).Error() }

// orNil is an error only if there is one.
func (s several) orNil() error {
	if len(s) == 0 {
		return nil
	}
	return s
}

// each refuses a list for its bad texts.
func each(f func(string) error) checkFunc {
	return func(v any) error {
		var all several
		for _, s := range v.([]string) {
			if err := f(s); err != nil {
				all = append(all, err)
			}
		}
		return all.orNil()
	}
}

func oneOf(words ...string) func(string) error {
	return func(s string) error {
		if !slices.Contains(words, s) {
			return fmt.Errorf("%q is none of %s", s, strings.Join(words, ", "))
		}
		return nil
	}
}

func notEmpty(s string) error {
	if s == "" {
		return errors.New("it is empty")
	}
	return nil
}

// resolvePath makes a path absolute. Symbolic links in it stay: what a link
// such as current means is found out each time the path is used.
func resolvePath(dir, path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(dir, path)
}

// resolveAccess leaves standard output what it is.
func resolveAccess(dir, path string) string {
	if path == "-" {
		return path
	}
	return resolvePath(dir, path)
}

// resolveTarget makes what can only be a path absolute, and what is there
// beside the file; anything else is a program of PATH or an import path.
func resolveTarget(dir, target string) string {
	path := filepath.Join(dir, target)
	switch {
	case filepath.IsAbs(target):
		return target
	case target == ".", target == "..", strings.HasPrefix(target, "./"), strings.HasPrefix(target, "../"):
		return path
	}
	if _, err := os.Lstat(path); err == nil {
		return path
	}
	return target
}

// resolveListener makes the path of a unix socket absolute; an abstract one's
// name, which begins with @ (unix(7)), is no path.
func resolveListener(dir, address string) string {
	l, err := front.ParseListener(address)
	path, ok := l.Path()
	if err != nil || !ok || strings.HasPrefix(path, "@") {
		return address
	}
	l.Address = "unix:" + resolvePath(dir, path)
	return l.String()
}

func checkListen(v any) error {
	list := v.([]string)
	if len(list) == 0 {
		return errors.New("it is empty; want host:port, unix:/path or fd:NAME")
	}
	var all several
	for i, s := range list {
		_, err := front.ParseListener(s)
		switch {
		case err != nil:
			all = append(all, fmt.Errorf("%q: %w", s, err))
		case slices.Contains(list[:i], s):
			all = append(all, fmt.Errorf("%q is there twice", s))
		}
	}
	return all.orNil()
}

func checkAdmin(s string) error {
	if s == "" {
		return nil
	}
	l, err := front.ParseListener(s)
	if err == nil && l.Proxy {
		err = errors.New("want host:port or unix:/path; no PROXY protocol header is read there")
	}
	if _, inherited := l.Inherited(); err == nil && inherited {
		err = errors.New("want host:port or unix:/path; sockets that systemd passes are for clients")
	}
	if err != nil {
		return fmt.Errorf("%q: %w", s, err)
	}
	return nil
}

func checkSocket(path string) error {
	if len(path) > maxSocketPath {
		return fmt.Errorf("the path %s has %d bytes; a unix socket's path has at most %d", path, len(path), maxSocketPath)
	}
	return nil
}

func checkTrusted(network string) error {
	_, err := front.ParseTrusted([]string{network})
	return err
}

func checkHealth(s string) error {
	if !strings.HasPrefix(s, "/") || strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r >= 0x7f || r == '#' }) {
		return fmt.Errorf("%q is no path of a URL, such as /healthz", s)
	}
	return nil
}

func checkVariable(name string) error {
	if name == "" || strings.Contains(name, "=") {
		return fmt.Errorf("%q is no variable's name", name)
	}
	return nil
}

func checkEnv(v any) error {
	for name := range v.(map[string]string) {
		if err := errors.Join(checkVariable(name), noNUL(name)); err != nil {
			return err
		}
	}
	return nil
}

// checkUser looks at the word only: who is there is a matter of the machine
// that runs the app.
func checkUser(s string) error {
	if strings.ContainsAny(s, ": /\t\n") || strings.HasPrefix(s, "-") {
		return fmt.Errorf("%q is neither a name nor a number", s)
	}
	return nil
}

// checkMode takes permissions as chmod does, without special bits.
func checkMode(s string) error {
	if n, err := strconv.ParseUint(s, 8, 32); err != nil || n > 0o777 || n == 0 {
		return fmt.Errorf("%q are no permissions; want octal digits such as 0660", s)
	}
	return nil
}

// checkHost refuses what no request's Host can match.
func checkHost(host string) error {
	fail := func(format string, args ...any) error {
		return fmt.Errorf("host %q %s", host, fmt.Sprintf(format, args...))
	}
	if strings.HasPrefix(host, "[") || strings.Count(host, ":") > 1 {
		a, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(host, "["), "]"))
		switch {
		case err != nil && strings.Contains(host, "]:"):
			return fail("has a port; every port is meant, so leave it out")
		case err != nil || !a.Is6() || a.Zone() != "":
			return fail("is no IPv6 address")
		case "["+a.String()+"]" != strings.ToLower(host):
			return fail("is written [%s] by clients; write it so", a)
		}
		return nil
	}
	name, wild := strings.CutPrefix(host, "*.")
	name = strings.TrimSuffix(name, ".")
	switch {
	case host == "*":
		return fail("means every host: leave hosts out for that")
	case name == "":
		return fail("is empty")
	case strings.Contains(host, ":"):
		return fail("has a port; every port is meant, so leave it out")
	case strings.Contains(name, "*"):
		return fail("has a * inside; only *.suffix is possible")
	case len(name) > maxHost:
		return fail("has %d bytes; a host has at most %d", len(name), maxHost)
	}
	last := ""
	for last = range strings.SplitSeq(name, ".") {
		switch {
		case last == "":
			return fail("has nothing between two dots")
		case len(last) > 63:
			return fail("has more than 63 bytes between two dots")
		case strings.ContainsFunc(last, func(r rune) bool { return r >= 0x80 }):
			return fail("has letters that clients write in ASCII, with xn-- in front; write it so")
		case strings.ContainsFunc(last, func(r rune) bool {
			return r != '-' && r != '_' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
		}):
			return fail("has bytes that no host has")
		}
	}
	if strings.Trim(last, "0123456789") == "" { // an IPv4 address, or nothing
		if a, err := netip.ParseAddr(name); err != nil || !a.Is4() || wild {
			return fail("is no IPv4 address")
		}
	}
	return nil
}

// checkPath refuses what no request's path can begin with.
func checkPath(path string) error {
	fail := func(what string) error { return fmt.Errorf("path %q %s", path, what) }
	switch {
	case !strings.HasPrefix(path, "/"):
		return fail("does not begin with /")
	case strings.ContainsAny(path, "?#"):
		return fail("has a query or fragment; only paths are looked at")
	case strings.Contains(path, "*"):
		return fail("has a *; what it begins with is enough")
	case strings.ContainsFunc(path, func(r rune) bool { return r <= ' ' || r >= 0x7f }):
		return fail("has bytes that clients percent-encode; write it so")
	case strings.Contains(path, "//"):
		return fail("has nothing between two slashes")
	}
	for segment := range strings.SplitSeq(path, "/") {
		if segment == "." || segment == ".." {
			return fail("has a " + segment + " that clients take out")
		}
	}
	return nil
}
