package config

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestRefused: what is wrong, each with its line. A file whose key stands alone
// is completed by a good app.
func TestRefused(t *testing.T) {
	const good = "\n[app.shop]\ntarget = 'cat'\n"
	app := func(line string) string { return "[app.shop]\ntarget = 'cat'\n" + line + "\n" }
	long := strings.Repeat("x", 120)
	for _, tt := range []struct {
		text string
		want string // a pattern for each line that is said
	}{
		{"lisen = []" + good, `^f:1: "lisen" is no key of the top level; did you mean "listen"\?$`},
		{"Read_Timeout = '1s'" + good, `did you mean "read-timeout"\?`},
		{"workers = 3" + good, `^f:1: "workers" is no key of the top level; it belongs in \[app.NAME\]$`},
		{"stdout = ''" + good, `it belongs in \[app.NAME.log\]$`},
		{"frobnicate = 1" + good, `^f:1: "frobnicate" is no key of the top level; docs/configuration.md lists them all$`},
		{app("wrokers = 2"), `^f:3: "wrokers" is no key of \[app.shop\]; did you mean "workers"\?$`},
		{app("listen = []"), `^f:3: "listen" is no key of \[app.shop\]; it belongs at the top, before the first table$`},
		{app("[app.shop.log]\nstdot = 'x'"), `^f:4: "stdot" is no key of \[app.shop.log\]; did you mean "stdout"\?$`},
		{app("'log.keep' = 1"), `^f:3: "log.keep" is no key of \[app.shop\]; `},
		{app("[app.shop.logs]\nkeep = 1"), `^f:3: "logs" is no key of \[app.shop\]`},
		{app("[apps.x]\n"), `^f:3: "apps" is no key of the top level`},

		{app("workers = '4'"), `^f:3: app.shop.workers: got the text "4"; want a number, such as 4$`},
		{app("workers = 1.5"), `^f:3: app.shop.workers: got the number 1.5; want a number`},
		{app("workers = 0"), `^f:3: app.shop.workers: 0: want a number from 1 to 10000$`},
		{app("workers = -1"), `^f:3: app.shop.workers: -1: want a number from 1 to 10000$`},
		{app("standbys = -1"), `^f:3: .*want a number from 0 to 1000$`},
		{app("recycle-requests = -1"), `^f:3: app.shop.recycle-requests: -1: want a number from 0$`},
		{app("recycle-memory = -1"), `^f:3: app.shop.recycle-memory: -1: want a number from 0$`},
		{app("recycle-memory = '5 parsecs'"), `^f:3: app.shop.recycle-memory: "5 parsecs" is no number of bytes`},
		{app("queue-age = 10"), `^f:3: app.shop.queue-age: 10 has no unit; want a duration, such as "30s"$`},
		{app("queue-age = '10 lightyears'"), `^f:3: app.shop.queue-age: "10 lightyears" is no duration; want numbers with the units`},
		{app("queue-age = '0.0000000001s'"), `^f:3: app.shop.queue-age: "0.0000000001s" is less than a nanosecond`},
		{app("queue-age = '0s'"), `^f:3: app.shop.queue-age: 0s: want a duration above zero`},
		{app("recycle-age = '-1h'"), `^f:3: app.shop.recycle-age: -1h0m0s: want a duration such as "30s", or "0s"$`},
		{app("heartbeat-timeout = '9s'"), `^f:3: app.shop.heartbeat-timeout: 9s: want at least 10s$`},
		{app("suspended = 'yes'"), `^f:3: .*got the text "yes"; want true or false, such as true$`},
		{app("args = 'x'"), `^f:3: .*got the text "x"; want a list of texts, such as \["a", "b"\]$`},
		{app("args = [\n'x',\n7]"), `^f:3: app.shop.args: element 2 is the number 7`},
		{app("args = [\"a\\u0000\"]"), `^f:3: .*a zero byte is in it$`},
		{app("env = ['A=1']"), `^f:3: app.shop.env: got a list; want a table of texts`},
		{app("env.A = 1"), `^f:3: app.shop.env: A is the number 1; want text in quotes$`},
		{app("env = {'A=B' = 'x'}"), `^f:3: app.shop.env: "A=B" is no variable's name$`},
		{app("env-allow = ['A=1']"), `^f:3: app.shop.env-allow: "A=1" is no variable's name$`},
		{app("log = 'x'"), `^f:3: app.shop.log is the text "x"; want a table \[app.shop.log\]$`},
		{app("dir = 2026-01-02"), `^f:3: app.shop.dir: got a date or time; want a path`},
		{app("user = 'a b'"), `^f:3: app.shop.user: "a b" is neither a name nor a number$`},
		{app("http = true\nhealth = 'healthz'"), `^f:4: app.shop.health: "healthz" is no path of a URL`},
		{app("health = '/healthz'"), `^f:3: app.shop.health is for programs that serve plain HTTP; it needs http = true$`},
		{app("log.keep = -1"), `^f:3: app.shop.log.keep: -1: want`},

		{"[app.shop]\nworkers = 2\n", `^f:1: app.shop has no target; want target = "./PACKAGE" or the path of a program$`},
		{"[app.shop]\ntarget = ''\n", `^f:2: app.shop.target: it is empty$`},
		{"[app]\ntarget = 'x'\n", `^f:2: app.target: "target" is no app; its table is missing the name: want \[app.NAME\]$`},
		{"[[app]]\ntarget = 'x'\n", `^f:1: app is a list of tables; want a table \[app.NAME\] for each app$`},
		{"app.x = 3\n", `^f:1: app.x is the number 3; want a table \[app.x\]$`},
		{"[app.'a b']\ntarget = 'x'\n", `^f:1: "a b" cannot be an app's name`},
		{"", `^f: it names no app; want a table \[app.NAME\] with a target$`},
		{good + good, `^f:5: \[app.shop\] is there twice: each app has a name of its own; the first is in line 2$`},
		{"loops = 1\nname = 'x'\nloops = 2" + good, `^f:3: loops is there twice; the first is in line 1$`},
		{"name = \n" + good, `^f:1: no TOML: expected value but found`},

		{"name = 'a/b'" + good, `^f:1: name: "a/b" cannot be a daemon's name`},
		{"listen = []" + good, `^f:1: listen: it is empty; want host:port, unix:/path or fd:NAME$`},
		{"listen = ['8080']" + good, `^f:1: listen: "8080": want host:port, unix:/path or fd:NAME, each also with proxy: before it$`},
		{"listen = ['localhost:99999']" + good, `^f:1: listen: "localhost:99999": "99999" is no port$`},
		{"listen = ['127.0.0.1:99999', ':1', 'nonsense']" + good, "^f:1: listen: \"127.0.0.1:99999\": .*$\n^f:1: listen: \"nonsense\": .*$"},
		{"wrokers = 2" + good, `^f:1: "wrokers" is no key of the top level; did you mean "workers", in \[app.NAME\]\?$`},
		{"[apps.other]\ntarget = 'x'" + good, `^f:1: "apps" is no key of the top level; want a table \[app.NAME\] for each app$`},
		{good + "trusted-proxis = ['unix']\n", `^f:4: "trusted-proxis" is no key of \[app.shop\]; did you mean "trusted-proxies", at the top, before the first table\?$`},
		{"trusted-proxies = ['10.0.0.0/99', 'x']" + good, "^f:1: trusted-proxies: \"10.0.0.0/99\" is no .*$\n^f:1: trusted-proxies: \"x\" is no .*$"},
		{"listen = [':1', ':1']" + good, `^f:1: listen: ":1" is there twice$`},
		{"listen = ['unix:" + long + "']" + good, `^f:1: listen: .* the path has \d+ bytes; a unix socket's path has at most 107$`},
		{"admin = 'proxy::9000'" + good, `^f:1: admin: "proxy::9000": want host:port or unix:/path; no PROXY`},
		{"admin = 'fd:http'" + good, `^f:1: admin: "fd:http": want host:port or unix:/path; sockets`},
		{"admin = '9000'" + good, `^f:1: admin: `},
		{"control = '" + long + "'" + good, `^f:1: control: the path /.*x has \d+ bytes; a unix socket's path has at most 107$`}, // N60
		{"tls-cert = 'c'" + good, `^f:1: tls-cert needs tls-key: the certificate's key$`},
		{"tls-key = 'c'" + good, `^f:1: tls-key needs tls-cert: the key's certificate$`},
		{"tls-client-ca = 'c'" + good, `^f:1: tls-client-ca needs tls-cert and tls-key: only TLS has certificates$`},
		{"tls-cert = 'c'\ntls-key='k'\ntls-client-optional = true" + good, `^f:3: tls-client-optional needs tls-client-ca$`},
		{"trusted-proxies = ['example.org']" + good, `^f:1: trusted-proxies: "example.org" is no network`},
		{"max-header-bytes = '2Mi'" + good, `^f:1: max-header-bytes: 2097152: want a number from 1024 to 1048576$`},
		{"access-log-format = 'xml'" + good, `^f:1: access-log-format: "xml" is none of common, json$`},
		{"extends = 3" + good, `^f:1: extends: want another file's path, such as "base.toml"$`},
		{"name = 'x'\nextends = 'nope.toml'" + good, `^f:2: extends nope.toml: the file does not exist$`},
		{"extends = 'dir'" + good, `^f:1: extends dir: it is no file \(d-+\)$`},

		{app("hosts = ['shop.example:80']"), `^f:3: app.shop.hosts: host "shop.example:80" has a port`},
		{app("paths = ['api']"), `^f:3: app.shop.paths: path "api" does not begin with /$`},
		{app("paths = ['/a', '/b', '/a']"), `^f:3: app.shop has the route of every host, /a twice; take one of them out$`},
		{app("paths = ['/a', '/a/']"), `^f:3: app.shop has the route of every host, /a twice; take one of them out$`},
		{app("") + "[app.b]\ntarget = 'x'\n", `^f:4: app.b has the route of every host and path, which app.shop has too \(f:1\); give one of them other hosts or paths$`},
		{app("hosts = ['A.example.', 'x']") + "[app.b]\ntarget = 'x'\nhosts = ['y', 'a.example']\n", `^f:6: app.b has the route a.example/, which app.shop has too \(f:3\)`},
		{app("hosts = ['a']\npaths = ['/v1']") + "[app.b]\ntarget = 'x'\nhosts = ['a']\npaths = [\n'/v2', '/v1/']\n", `^f:8: app.b has the route a/v1/, which app.shop has too \(f:4\)`},

		// All at once, in the order of the lines.
		{"loops = 0\nnmae = 'x'\n[app.a]\nworkers = -1\n[app.b]\ntarget = 7\n", "^f:1: loops: 0\n^f:2: \"nmae\" .* \"name\"\n^f:3: app.a has no target\n^f:4: app.a.workers: -1\n^f:5: app.b has the route\n^f:6: app.b.target: got the number 7"},
	} {
		t.Run("", func(t *testing.T) {
			write(t, map[string]string{"f": tt.text, "dir/x": ""})
			got := wrong(t, "f")
			want := strings.Split(tt.want, "\n")
			ok := len(got) == len(want)
			for i := range want {
				ok = ok && regexp.MustCompile(want[i]).MatchString(got[i])
			}
			if !ok {
				t.Errorf("got\n%s\nwant\n%s\nof\n%s", strings.Join(got, "\n"), tt.want, tt.text)
			}
		})
	}
}

// TestUnreadable: files that cannot be read at all.
func TestUnreadable(t *testing.T) {
	write(t, map[string]string{"big.toml": strings.Repeat("#", maxFile+1), "secret.toml": "", "dir/x": ""})
	if err := os.Chmod("secret.toml", 0); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"nope.toml":   "nope.toml: the file does not exist",
		"dir":         "dir: it is no file (d---------)",
		"big.toml":    "big.toml: it has more than 262144 bytes",
		"secret.toml": "secret.toml: we may not read it: permission denied",
	}
	if f, err := os.Open("secret.toml"); err == nil { // as root
		f.Close()
		delete(want, "secret.toml")
	}
	for file, want := range want {
		if got := wrong(t, file); !slices.Equal(got, []string{want}) {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// TestExtends: the child's values go before the parent's, key by key; lists and
// env are replaced; paths are relative to the first file (N38), extends to the
// file that says it.
func TestExtends(t *testing.T) {
	dir := write(t, map[string]string{
		"site/heddle.toml": `extends = "../base/base.toml"
loops = 2
[app.shop]
workers = 3
env = {B = "2"}
[app.shop.log]
keep = 1
[app.extra]
target = "extra"
paths = ["/extra"]
`,
		"base/base.toml": `extends = "deep/root.toml"
listen = ["127.0.0.1:1"]
loops = 1
control = "control.sock"
tls-cert = "c.pem"
tls-key = "k.pem"
[app.shop]
target = "./shop"
args = ["a", "b"]
env = {A = "1"}
[app.shop.log]
stdout = "out.log"
keep = 9
`,
		"base/deep/root.toml": `idle-timeout = "1s"
listen = ["127.0.0.1:2", "127.0.0.1:3"]
[app.shop]
workers = 1
standbys = 4
`,
		"site/extra": "", "base/extra": "",
	})
	c := load(t, "site/heddle.toml")
	at := func(p string) string { return filepath.Join(dir, "site", p) }
	shop := c.App("shop")
	for _, x := range []struct {
		what      string
		got, want any
	}{
		{"files", c.Files, []string{"site/heddle.toml", "base/base.toml", "base/deep/root.toml"}},
		{"loops", c.Loops, 2}, {"listen", c.Listen, []string{"127.0.0.1:1"}}, {"idle-timeout", c.Limits.IdleTimeout.String(), "1s"},
		{"control", c.Control, at("control.sock")}, {"tls-cert", c.TLS.Cert, at("c.pem")}, {"tls-key", c.TLS.Key, at("k.pem")},
		{"target", shop.Target, at("shop")}, {"log.stdout", shop.Log.Stdout, at("out.log")}, {"log.keep", shop.Log.Keep, 1},
		{"workers", shop.Workers, 3}, {"standbys", shop.Standbys, 4}, {"args", shop.Args, []string{"a", "b"}}, {"env", shop.Env, map[string]string{"B": "2"}},
		{"extra", c.App("extra").Target, at("extra")},
		{"origin of loops", c.Origin("", "loops").String(), "site/heddle.toml:2"},
		{"origin of standbys", c.Origin("shop", "standbys").String(), "base/deep/root.toml:5"},
		{"origin of stdout", c.Origin("shop", "log.stdout").String(), "base/base.toml:12"},
		{"order", []string{c.Apps[0].Name, c.Apps[1].Name}, []string{"shop", "extra"}},
	} {
		if got, want := fmt.Sprintf("%#v", x.got), fmt.Sprintf("%#v", x.want); got != want {
			t.Errorf("%s: got %s, want %s", x.what, got, want)
		}
	}
}

// TestExtendsRefused: N39, circles, and errors of several files together.
func TestExtendsRefused(t *testing.T) {
	files := map[string]string{
		"a.toml":      "extends = 'sub/b.toml'\n",
		"sub/b.toml":  "\nextends = 'c.toml'\n",
		"sub/c.toml":  "extends = '../a.toml'\n",
		"self.toml":   "extends = 'self.toml'\n",
		"child.toml":  "extends = 'base.toml'\nloops = 0\n[app.a]\ntarget = 'x'\n",
		"base.toml":   "nmae = 'x'\n[app.a]\nworkers = 0\n",
		"cut.toml":    "extends = 'broken.toml'\nloops = 0\n",
		"broken.toml": "name = 'x'\n[app\n",
		"link.toml":   "extends = 'loop/link.toml'\n",
	}
	for i := range maxChain + 1 {
		files[fmt.Sprintf("n%d.toml", i)] = fmt.Sprintf("extends = 'n%d.toml'\n", i+1)
	}
	write(t, files)
	if err := os.Symlink(".", "loop"); err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string][]string{
		"a.toml":     {"sub/c.toml:1: extends a.toml: the files extend one another in a circle: a.toml -> sub/b.toml -> sub/c.toml -> a.toml"},
		"sub/c.toml": {"sub/b.toml:2: extends sub/c.toml: the files extend one another in a circle: sub/c.toml -> a.toml -> sub/b.toml -> sub/c.toml"},
		"self.toml":  {"self.toml:1: extends self.toml: the files extend one another in a circle: self.toml -> self.toml"},
		"link.toml":  {"link.toml:1: extends loop/link.toml: the files extend one another in a circle: link.toml -> loop/link.toml"},
		"n0.toml":    {"n15.toml:1: extends n16.toml: more than 16 files extend one another"},
		"child.toml": {"child.toml:2: loops: 0: want a number from 1 to 256", `base.toml:1: "nmae" is no key of the top level; did you mean "name"?`, "base.toml:3: app.a.workers: 0: want a number from 1 to 10000"},
		"cut.toml":   {"cut.toml:2: loops: 0: want a number from 1 to 256", "broken.toml:3: no TOML: expected '.' or ']' to end table name, but got '\\n' instead"},
	} {
		if got := wrong(t, file); !slices.Equal(got, want) {
			t.Errorf("%s: got\n%s\nwant\n%s", file, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
}

// TestCurrent: N61, what a symbolic link in the way means is not settled when
// the file is read.
func TestCurrent(t *testing.T) {
	dir := write(t, map[string]string{"r1/heddle.toml": "[app.a]\ntarget = './x'\ndir = '.'\n"})
	if err := os.Symlink("r1", "current"); err != nil {
		t.Fatal(err)
	}
	a := load(t, "current/heddle.toml").Apps[0]
	if want := filepath.Join(dir, "current"); a.Dir != want || a.Target != filepath.Join(want, "x") {
		t.Errorf("got %s and %s, want them below %s", a.Dir, a.Target, want)
	}
}

// FuzzParse: whatever the file, every key has a line of it.
func FuzzParse(f *testing.F) {
	f.Add(full)
	f.Add("a.b = 1\n['']\n'' = '''\nx'''\n[[t]]\nx = {y = [\n{}]}\n")
	f.Add("a.b = 1\na = 2\n[app.x]\n[app.x]\n")
	f.Fuzz(func(t *testing.T, text string) {
		root, err := parse(text)
		lines := 1 + strings.Count(text, "\n")
		if err != nil {
			if err.Line < 0 || err.Line > lines || err.Msg == "" {
				t.Errorf("%q: error %v of %d lines", text, err, lines)
			}
			return
		}
		var walk func(n *node)
		walk = func(n *node) {
			for _, kid := range n.kids {
				if kid.line < 0 || kid.line > lines {
					t.Errorf("%q: %q is in line %d of %d", text, kid.key, kid.line, lines)
				}
				walk(kid)
			}
		}
		walk(root)
	})
}
