package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/heddle-go/heddle/httpcompat"
)

// DefaultFile is what is read where no file is named.
const DefaultFile = "heddle.toml"

// Bounds of what is read.
const (
	maxFile  = 256 << 10 // bytes
	maxChain = 16        // files that extend one another
)

// Load reads a file and those it extends. Whatever is wrong with them comes as
// Errors, all of it at once; only of a file that is no TOML nothing but the
// first error can be told. That a file is missing is among them.
func Load(file string) (*Config, error) {
	l := loader{c: &Config{origins: make(map[place]Origin)}}
	abs, err := filepath.Abs(file)
	if err != nil {
		return nil, fmt.Errorf("config: %w", err)
	}
	l.c.dir = filepath.Dir(abs)
	l.read(source{name: file})
	l.apply()
	if !l.broken {
		l.whole()
	}
	if len(l.errs) > 0 {
		l.errs.sort(l.c.Files)
		return nil, l.errs
	}
	return l.c, nil
}

// A loader is one Load.
type loader struct {
	c      *Config
	chain  []source // the named file first
	errs   Errors
	broken bool // a file could not be read whole
}

// A source is a file of the chain.
type source struct {
	name string // as people read it
	line int    // of its extends; 0: there is none
	info fs.FileInfo
	root *node
}

func (l *loader) fail(file string, line int, format string, args ...any) {
	l.errs = append(l.errs, &Error{file, line, fmt.Sprintf(format, args...)})
}

// read reads a file and those that it extends.
func (l *loader) read(s source) {
	for {
		from, line := s.name, 0 // who is to blame when it cannot be read
		if n := len(l.chain); n > 0 {
			from, line = l.chain[n-1].name, l.chain[n-1].line
		}
		blame := func(format string, args ...any) {
			l.broken = true
			what := fmt.Sprintf(format, args...)
			if len(l.chain) > 0 {
				what = fmt.Sprintf("extends %s: %s", s.name, what)
			}
			l.fail(from, line, "%s", what)
		}
		if len(l.chain) == 0 {
			l.c.Files = []string{s.name}
		}
		text, info, err := readFile(s.name)
		if err != nil {
			blame("%s", plain(err))
			return
		}
		s.info = info
		if cycle := l.cycle(s); cycle != "" {
			blame("the files extend one another in a circle: %s", cycle)
			return
		}
		if len(l.chain) == maxChain {
			blame("more than %d files extend one another", maxChain)
			return
		}
		if len(l.chain) > 0 {
			l.c.Files = append(l.c.Files, s.name)
		}
		root, bad := parse(text)
		if bad != nil {
			bad.File = s.name
			l.errs = append(l.errs, bad)
			l.broken = true
			return
		}
		s.root = root
		i := slices.IndexFunc(root.kids, func(n *node) bool { return n.key == "extends" })
		if i < 0 {
			l.chain = append(l.chain, s)
			return
		}
		next, ok := root.kids[i].value.(string)
		if !ok || next == "" {
			l.chain = append(l.chain, s)
			l.broken = true
			l.fail(s.name, root.kids[i].line, `extends: want another file's path, such as "base.toml"`)
			return
		}
		s.line = root.kids[i].line
		l.chain = append(l.chain, s)
		if !filepath.IsAbs(next) {
			next = filepath.Join(filepath.Dir(s.name), next)
		}
		s = source{name: next}
	}
}

// cycle names the chain that leads from s back to it.
func (l *loader) cycle(s source) string {
	for i, before := range l.chain {
		if os.SameFile(before.info, s.info) {
			var names []string
			for _, x := range l.chain[i:] {
				names = append(names, x.name)
			}
			return strings.Join(append(names, s.name), " -> ")
		}
	}
	return ""
}

// readFile reads no more than maxFile bytes of a regular file. Others, such as
// pipes, could keep a daemon that reloads waiting for ever.
func readFile(name string) (string, fs.FileInfo, error) {
	info, err := os.Stat(name)
	if err != nil {
		return "", nil, err
	}
	if !info.Mode().IsRegular() {
		return "", nil, fmt.Errorf("it is no file (%v)", info.Mode().Type())
	}
	f, err := os.Open(name)
	if err != nil {
		return "", nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(text) > maxFile {
		err = fmt.Errorf("it has more than %d bytes", maxFile)
	}
	return string(text), info, err
}

// plain leaves out of an error of package os what its reader knows.
func plain(err error) string {
	var pe *fs.PathError
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "the file does not exist"
	case errors.Is(err, fs.ErrPermission):
		return "we may not read it: " + fs.ErrPermission.Error()
	case errors.As(err, &pe):
		return pe.Err.Error()
	}
	return err.Error()
}

// apply takes the values of the files, those that are extended first, so that
// what a later one says replaces them.
func (l *loader) apply() {
	fill(l.c, nil)
	for _, s := range slices.Backward(l.chain) {
		for _, n := range s.root.kids {
			switch n.key {
			case "extends":
			case "app":
				l.applyApps(s, n)
			default:
				l.set(s, n, nil, "", n.key)
			}
		}
	}
}

func (l *loader) applyApps(s source, n *node) {
	if !n.isTable() {
		l.fail(s.name, n.line, "app is %s; want a table [app.NAME] for each app", kind(n.value))
		return
	}
	for _, app := range n.kids {
		switch {
		case !app.isTable() && (findKey(app.key, true) != nil || findKey(app.key, false) != nil):
			l.fail(s.name, app.line, "app.%s: %q is no app; its table is missing the name: want [app.NAME]", app.key, app.key)
			continue
		case !app.isTable():
			l.fail(s.name, app.line, "app.%s is %s; want a table [app.%s]", app.key, kind(app.value), app.key)
			continue
		}
		if err := CheckName("an app's", app.key); err != nil {
			l.fail(s.name, app.line, "%s", err)
			continue
		}
		at := Origin{From: FromFile, File: s.name, Line: app.line}
		a := l.c.App(app.key)
		if a == nil {
			l.c.Apps = append(l.c.Apps, App{Name: app.key})
			a = &l.c.Apps[len(l.c.Apps)-1]
			fill(l.c, a)
		}
		l.c.origins[place{app: app.key}] = at // the last word is the named file's
		for _, n := range app.kids {
			if n.key != "log" {
				l.set(s, n, a, app.key, n.key)
				continue
			}
			if !n.isTable() {
				l.fail(s.name, n.line, "app.%s.log is %s; want a table [app.%s.log]", app.key, kind(n.value), app.key)
				continue
			}
			for _, n := range n.kids {
				l.set(s, n, a, app.key, "log."+n.key)
			}
		}
	}
}

// set takes the value of one key.
func (l *loader) set(s source, n *node, a *App, app, name string) {
	k := findKey(name, a != nil)
	if k == nil || strings.Contains(n.key, ".") { // "log.keep" in quotes is one word, and not keep in log
		l.fail(s.name, n.line, "%s", unknown(name, app, strings.Contains(n.key, ".")))
		return
	}
	l.c.origins[place{app, name}] = Origin{From: FromFile, File: s.name, Line: n.line}
	if err := k.take(k.at(l.c, a), n.value, l.c.dir); err != nil {
		all, ok := err.(several)
		if !ok {
			all = several{err}
		}
		for _, err := range all {
			l.fail(s.name, n.line, "%s: %s", k.path(app), err)
		}
	}
}

// whole refuses what only the values together show.
func (l *loader) whole() {
	c := l.c
	has := func(key string) bool { return c.Origin("", key).From == FromFile }
	wrong := func(app, key, format string, args ...any) {
		at := c.Origin(app, key)
		l.fail(at.File, at.Line, format, args...)
	}
	switch t := c.TLS; {
	case t.Cert != "" && t.Key == "" && !has("tls-key"):
		wrong("", "tls-cert", "tls-cert needs tls-key: the certificate's key")
	case t.Cert == "" && t.Key != "" && !has("tls-cert"):
		wrong("", "tls-key", "tls-key needs tls-cert: the key's certificate")
	case t.ClientCA != "" && t.Cert == "":
		wrong("", "tls-client-ca", "tls-client-ca needs tls-cert and tls-key: only TLS has certificates")
	case t.Optional && t.ClientCA == "":
		wrong("", "tls-client-optional", "tls-client-optional needs tls-client-ca")
	}
	if len(c.Apps) == 0 && len(l.errs) == 0 {
		l.fail(c.Files[0], 0, "it names no app; want a table [app.NAME] with a target")
	}
	for i := range c.Apps {
		a := &c.Apps[i]
		at := c.appLine(a.Name)
		if c.Origin(a.Name, "target").From == FromDefault {
			l.fail(at.File, at.Line, "app.%s has no target; want target = \"./PACKAGE\" or the path of a program", a.Name)
		}
		if a.Health != defaultHealth && !a.HTTP && c.Origin(a.Name, "health").From == FromFile {
			wrong(a.Name, "health", "app.%s.health is for programs that serve plain HTTP; it needs http = true", a.Name)
		}
	}
	for i := range c.Apps {
		a := &c.Apps[i]
		if a.Dialect != "" && a.HTTP {
			wrong(a.Name, "dialect", "app.%s serves plain HTTP or is a Cocaine worker; it cannot have both http = true and a dialect", a.Name)
		}
		if a.Dialect == "" && a.Event != httpcompat.DefaultEvent && c.Origin(a.Name, "event").From == FromFile {
			wrong(a.Name, "event", "app.%s.event is for Cocaine workers; it needs a dialect", a.Name)
		}
		if err := CheckService(a.Name); c.Locator != "" && !a.HTTP && err != nil {
			l.fail(c.appLine(a.Name).File, c.appLine(a.Name).Line, "app.%s: %s", a.Name, err)
		}
	}
	for _, of := range [...]struct{ key, said string }{{"join", strings.Join(c.Join, ",")}, {"storage", c.Storage}, {"allow-start", c.AllowStart}} {
		if c.Locator == "" && of.said != "" && !has("locator") {
			wrong("", of.key, "%s is for a cloud; it needs a locator", of.key)
		}
	}
	for _, clash := range clashes(c.Apps) {
		l.clash(clash)
	}
	if !has("name") {
		l.name()
	}
	c.inherit()
}

// inherit gives apps that say nothing else the daemon's limits.
func (c *Config) inherit() {
	for i := range keys {
		k := &keys[i]
		of := findKey(k.Name, false)
		if !k.App || of == nil {
			continue
		}
		for j := range c.Apps {
			if a := &c.Apps[j]; c.Origin(a.Name, k.Name).From == FromDefault {
				assign(k.at(c, a), deref(of.at(c, nil)))
			}
		}
	}
}

// clash tells of a route that two apps have.
func (l *loader) clash(x clash) {
	first, second := l.routeOf(x.first), l.routeOf(x.second)
	if x.first == x.second {
		l.fail(second.File, second.Line, "app.%s has the route %s twice; take one of them out", x.second, x.route)
		return
	}
	l.fail(second.File, second.Line, "app.%s has the route %s, which app.%s has too (%s); give one of them other hosts or paths", x.second, x.route, x.first, first)
}

// routeOf is where an app says what its routes are.
func (l *loader) routeOf(app string) Origin {
	for _, key := range []string{"paths", "hosts"} {
		if o := l.c.Origin(app, key); o.From == FromFile {
			return o
		}
	}
	return l.c.appLine(app)
}

// name gives a daemon that has none the one that it has by default.
func (l *loader) name() {
	l.c.Name = filepath.Base(l.c.dir)
	if len(l.c.Apps) == 1 {
		l.c.Name = l.c.Apps[0].Name
	}
	if err := CheckName("a daemon's", l.c.Name); err != nil {
		l.fail(l.c.Files[0], 0, "it needs a name = \"…\", since that of its directory will not do: %s", err)
	}
}
