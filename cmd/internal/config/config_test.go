package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// write makes files in a directory of the test's own, which becomes the current
// one, so that errors name them as they are written here.
func write(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	t.Chdir(dir)
	for name, text := range files {
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	cwd, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	return cwd
}

// load loads a file that must be good.
func load(t *testing.T, file string) *Config {
	t.Helper()
	c, err := Load(file)
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	return c
}

// full says every key.
const full = `name = "shop-host"
listen = ["127.0.0.1:0", "unix:run/shop.sock", "proxy::8443", "unix:@shop"]
listen-mode = "0660"
listen-group = "www"
admin = "127.0.0.1:9000"
control = "run/control.sock"
locator = "127.0.0.1:10053"
join = ["10.0.0.2:10053"]
storage = "blobs"
allow-start = "bin"
loops = 3
tls-cert = "cert.pem"
tls-key = "key.pem"
tls-client-ca = "ca.pem"
tls-client-optional = true
trusted-proxies = ["10.0.0.0/8", "unix"]
read-header-timeout = "5s"
read-timeout = "1m"
write-timeout = "2m"
response-header-timeout = "3m"
idle-timeout = "0s"
max-header-bytes = "64Ki"
max-headers = 100
max-body-bytes = "10M"
max-clients = 1000
access-log = "access"
access-log-format = "json"

[app.shop]
target = "./shop"
args = ["-db", "shop.db"]
http = true
health = "/healthz"
dir = "work"
env = {A = "1", "B.C" = "x=y"}
env-allow = ["PATH"]
user = "www"
group = "1000"
workers = 2
standbys = 1
suspended = true
hosts = ["shop.example", "*.shop.example", "[::1]"]
paths = ["/api", "/v2/"]
queue = 10
queue-age = "1s"
concurrency = 7
response-header-timeout = "5s"
write-timeout = "0s"
max-body-bytes = "1Ki"
start-timeout = "2s"
heartbeat-timeout = "11s"
drain-timeout = "3s"
shutdown-timeout = "4s"
kill-delay = "6s"
recycle-requests = 1000
recycle-age = "24h"
recycle-memory = "512Mi"

[app.shop.log]
stdout = "log/out"
stderr = "/var/log/shop.err"
memory = "1Mi"
rotate-size = 1000000
rotate-age = "168h"
gzip = true
keep = 3
`

// foreign are the keys of workers that were written for Cocaine.
var foreign = []string{"dialect", "cloud", "event"}

// TestForeign: those keys go together, and not with http.
func TestForeign(t *testing.T) {
	write(t, map[string]string{
		"good.toml": "[app.a]\ntarget = \"./a\"\ndialect = \"v0\"\ncloud = \"10.0.0.1:99\"\nevent = \"web\"\n",
		"bad.toml":  "[app.a]\ntarget = \"./a\"\nhttp = true\ndialect = \"v1\"\n[app.b]\ntarget = \"./b\"\npaths = [\"/b\"]\nevent = \"web\"\n[app.c]\ntarget = \"./c\"\npaths = [\"/c\"]\ndialect = \"v2\"\n",
	})
	c := load(t, "good.toml")
	if a := c.Apps[0]; a.Dialect != "v0" || a.Cloud != "10.0.0.1:99" || a.Event != "web" {
		t.Errorf("got %+v", a)
	}
	for _, name := range foreign {
		if o := c.Origin("a", name); o.From != FromFile {
			t.Errorf("%s: origin %v", name, o)
		}
	}
	_, err := Load("bad.toml")
	for _, want := range []string{
		"bad.toml:4: app.a serves plain HTTP or is a Cocaine worker",
		"bad.toml:8: app.b.event is for Cocaine workers; it needs a dialect",
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q in\n%v", want, err)
		}
	}
	if err == nil || !strings.Contains(err.Error(), `"v2"`) {
		t.Errorf("dialect v2: got %v", err)
	}
}

// TestCloud: what a daemon that is a cloud may be told.
func TestCloud(t *testing.T) {
	dir := write(t, map[string]string{
		"good.toml": "locator = \"unix:l\"\nstorage = \"blobs\"\nallow-start = \"bin\"\n[app.a]\ntarget = \"./a\"\ncloud = \"10.0.0.1:99,unix:/x\"\n",
		"bad.toml":  "storage = \"blobs\"\nallow-start = \"bin\"\n[app.a]\ntarget = \"./a\"\ncloud = \"10.0.0.1:99,:7\"\n",
		"host.toml": "locator = \":10053\"\n[app.a]\ntarget = \"./a\"\n",
		"name.toml": "locator = \"127.0.0.1:1\"\n[app.storage]\ntarget = \"./a\"\n",
	})
	c := load(t, "good.toml")
	if c.Locator != "unix:"+filepath.Join(dir, "l") || c.Storage != filepath.Join(dir, "blobs") || c.AllowStart != filepath.Join(dir, "bin") || c.Apps[0].Cloud != "10.0.0.1:99,unix:/x" {
		t.Errorf("got %+v", c)
	}
	for file, wants := range map[string][]string{
		"bad.toml":  {"bad.toml:1: storage is for a cloud; it needs a locator", "bad.toml:2: allow-start is for a cloud; it needs a locator", "bad.toml:5:"},
		"host.toml": {`host.toml:1: locator: ":10053" names no host; want 127.0.0.1:10053, or 0.0.0.0:10053 if other`},
		"name.toml": {"name.toml:2: app.storage: a cloud has a service named storage; give the app another name"},
	} {
		_, err := Load(file)
		for _, want := range wants {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: want %q in\n%v", file, want, err)
			}
		}
	}
}

// TestEveryKey: N38, each key, with paths relative to the file.
func TestEveryKey(t *testing.T) {
	dir := write(t, map[string]string{"heddle.toml": full})
	c := load(t, "heddle.toml")
	at := func(p string) string { return filepath.Join(dir, p) }
	want := &Config{
		Files: []string{"heddle.toml"},
		Name:  "shop-host", Listen: []string{"127.0.0.1:0", "unix:" + at("run/shop.sock"), "proxy::8443", "unix:@shop"}, ListenMode: "0660", ListenGroup: "www", Admin: "127.0.0.1:9000",
		Control: at("run/control.sock"), Locator: "127.0.0.1:10053", Join: []string{"10.0.0.2:10053"}, Storage: at("blobs"), AllowStart: at("bin"), Loops: 3, Trusted: []string{"10.0.0.0/8", "unix"}, AccessLog: at("access"), AccessFormat: AccessJSON,
		Limits: Limits{
			ReadHeaderTimeout: 5 * time.Second, ReadTimeout: time.Minute, WriteTimeout: 2 * time.Minute, ResponseHeaderTimeout: 3 * time.Minute,
			MaxHeaderBytes: 64 << 10, MaxHeaders: 100, MaxBody: 10e6, MaxClients: 1000,
		},
		Apps: []App{{
			Name: "shop", Target: at("shop"), Args: []string{"-db", "shop.db"}, HTTP: true, Health: "/healthz", Event: "http",
			Dir: at("work"), Env: map[string]string{"A": "1", "B.C": "x=y"}, EnvAllow: []string{"PATH"}, User: "www", Group: "1000",
			Workers: 2, Standbys: 1, Suspended: true, Hosts: []string{"shop.example", "*.shop.example", "[::1]"}, Paths: []string{"/api", "/v2/"},
			Queue: 10, QueueAge: time.Second, Concurrency: 7, ResponseHeaderTimeout: 5 * time.Second, MaxBody: 1 << 10, StartTimeout: 2 * time.Second, HeartbeatTimeout: 11 * time.Second, DrainTimeout: 3 * time.Second, ShutdownTimeout: 4 * time.Second, KillDelay: 6 * time.Second,
			RecycleRequests: 1000, RecycleAge: 24 * time.Hour, RecycleMemory: 512 << 20,
			Log: Log{Stdout: at("log/out"), Stderr: "/var/log/shop.err", Memory: 1 << 20, RotateSize: 1e6, RotateAge: 168 * time.Hour, Gzip: true, Keep: 3},
		}},
	}
	want.TLS.Cert, want.TLS.Key, want.TLS.ClientCA, want.TLS.Optional = at("cert.pem"), at("key.pem"), at("ca.pem"), true
	got := *c
	got.dir, got.origins = "", nil
	if d := cmp.Diff(want, &got, cmp.AllowUnexported(Config{})); d != "" {
		t.Errorf("want -, got +:\n%s", d)
	}
	for i, line := range strings.Split(full, "\n") {
		name, _, ok := strings.Cut(line, " = ")
		if !ok {
			continue
		}
		app := ""
		switch {
		case i > 57:
			app, name = "shop", "log."+name
		case i > 26:
			app = "shop"
		}
		if o := c.Origin(app, name); o != (Origin{From: FromFile, File: "heddle.toml", Line: i + 1}) {
			t.Errorf("%s: origin %v, want line %d", name, o, i+1)
		}
	}
	for _, k := range keys {
		if slices.Contains(foreign, k.Name) {
			continue // not beside http
		}
		if app := map[bool]string{true: "shop"}[k.App]; k.at != nil && c.Origin(app, k.Name).From != FromFile {
			t.Errorf("%s is not in this test's file", k.Name)
		}
	}
}

// TestKeys: each field has one key that fills it, and each key what the page
// needs.
func TestKeys(t *testing.T) {
	c, a := new(Config), new(App)
	keyOf := make(map[any]string)
	for i := range keys {
		k := &keys[i]
		if findKey(k.Name, k.App) != k {
			t.Errorf("%s is there twice", k.Name)
		}
		if k.Means == "" || k.Default == "" || examples[k.Type] == "" {
			t.Errorf("%s has no words", k.Name)
		}
		if k.at == nil {
			continue
		}
		p := k.at(c, a)
		if old := keyOf[p]; old != "" {
			t.Errorf("%s and %s fill the same field", old, k.Name)
		}
		keyOf[p] = k.Name
		if v := deref(p); !k.App && v == nil {
			t.Error(k.Name)
		}
	}
	var walk func(v reflect.Value, path string)
	walk = func(v reflect.Value, path string) {
		for i := range v.NumField() {
			f, name := v.Field(i), path+"."+v.Type().Field(i).Name
			switch {
			case !v.Type().Field(i).IsExported(), slices.Contains([]string{"Config.Files", "Config.Apps", "App.Name"}, name):
			case f.Kind() == reflect.Struct:
				walk(f, name)
			case keyOf[f.Addr().Interface()] == "":
				t.Errorf("no key fills %s", name)
			}
		}
	}
	walk(reflect.ValueOf(c).Elem(), "Config")
	walk(reflect.ValueOf(a).Elem(), "App")

	// What the page says of defaults is what they are.
	fill(c, nil)
	fill(c, a)
	for i := range keys {
		k := &keys[i]
		if k.at == nil {
			continue
		}
		p := k.at(c, a)
		got := deref(p)
		value := any(k.Default)
		switch got.(type) {
		case time.Duration:
			if _, err := time.ParseDuration(k.Default); err != nil {
				continue // words
			}
		case Size:
		case string, []string:
			if !strings.HasPrefix(k.Default, `"`) && !strings.HasPrefix(k.Default, "[") {
				continue // words
			}
			root, err := parse("x = " + k.Default)
			if err != nil {
				t.Fatal(err)
			}
			value = root.kids[0].value
		case bool:
			value = k.Default == "true"
		case int, int64, uint64:
			var n Size
			if n.Set(k.Default) != nil {
				continue // words
			}
			value = int64(n)
		default:
			continue
		}
		if err := k.take(p, value, "/"); err != nil || !reflect.DeepEqual(deref(p), got) {
			t.Errorf("%s: the default is %v, and said to be %s (%v)", k.Name, got, k.Default, err)
		}
	}
}

// TestDefaults: what nobody says.
func TestDefaults(t *testing.T) {
	dir := write(t, map[string]string{"heddle.toml": "[app.shop]\ntarget = 'cat'\n"})
	c := load(t, "heddle.toml")
	if c.Name != "shop" || !slices.Equal(c.Listen, []string{"127.0.0.1:8080"}) || c.Limits.IdleTimeout != 2*time.Minute || c.Apps[0].Queue != 16384 || c.Apps[0].EnvAllow != nil {
		t.Errorf("got %+v", c)
	}
	if o := c.Origin("shop", "queue"); o.String() != "default" {
		t.Errorf("the queue comes from %v", o)
	}
	if err := os.WriteFile("heddle.toml", []byte("[app.a]\ntarget='x'\npaths=['/a']\n[app.b]\ntarget='y'\nenv-allow=[]\nhosts=[]\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	c = load(t, "heddle.toml")
	if b := c.App("b"); c.Name != filepath.Base(dir) || b.EnvAllow == nil || b.Hosts != nil {
		t.Errorf("name %q, allowed %#v, hosts %#v", c.Name, b.EnvAllow, b.Hosts)
	}
}

// TestShow: what config show prints means the same, and says where from.
func TestShow(t *testing.T) {
	write(t, map[string]string{
		"heddle.toml": full,
		"odd.toml":    "[app.\"a.b\"]\ntarget = './x'\nargs = [\"a\\\"b\\\\\\n\\u007f\\u2028<é>\", '# no']\nenv-allow = []\npaths = ['/x']\n[app.c]\ntarget = 'y'\n",
	})
	for _, file := range []string{"heddle.toml", "odd.toml"} {
		c := load(t, file)
		var b bytes.Buffer
		if err := c.Show(&b); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile("shown.toml", b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
		if changes := Compare(c, load(t, "shown.toml")); changes != nil {
			t.Errorf("%s: what is shown differs: %v\n%s", file, changes, &b)
		}
	}
	c := load(t, "heddle.toml")
	var b bytes.Buffer
	if err := c.Show(&b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"\nloops = 3 ", " # heddle.toml:7\n", "\nkeep = 3 ", " # heddle.toml:60\n", "\nenv = {A = \"1\", \"B.C\" = \"x=y\"} "} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("%q is not in\n%s", want, &b)
		}
	}
	p, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Files []string
		Keys  map[string]struct{ Value, Origin any }
		Apps  []struct {
			Name string
			Keys map[string]struct{ Value, Origin any }
		}
	}
	if err := json.Unmarshal(p, &got); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(any(map[string]any{"from": "file", "file": "heddle.toml", "line": 11.0}), got.Keys["loops"].Origin); d != "" {
		t.Error(d)
	}
	if v := got.Apps[0].Keys["queue-age"].Value; v != "1s" {
		t.Errorf("queue-age is %v", v)
	}
	if n := len(got.Keys) + len(got.Apps[0].Keys); n != len(keys)-1 {
		t.Errorf("%d keys, want all but extends, %d", n, len(keys)-1)
	}
}

// TestFlags: a flag goes before the file, within the same bounds.
func TestFlags(t *testing.T) {
	dir := write(t, map[string]string{"sub/heddle.toml": full})
	c := load(t, "sub/heddle.toml")
	for _, f := range []struct {
		app, name string
		values    []string
	}{
		{"", "loops", []string{"2"}}, {"", "listen", []string{":1", ":2"}}, {"", "control", []string{"x.sock"}}, {"", "tls-client-optional", []string{"false"}},
		{"shop", "queue-age", []string{"4s"}}, {"shop", "recycle-memory", []string{"1Gi"}}, {"shop", "recycle-requests", []string{"9"}}, {"", "max-body-bytes", []string{"5"}},
	} {
		if err := c.SetFlag(f.app, f.name, f.values); err != nil {
			t.Errorf("%s: %v", f.name, err)
		}
		if o := c.Origin(f.app, f.name).String(); o != "flag --"+f.name {
			t.Errorf("%s comes from %s", f.name, o)
		}
	}
	a := c.App("shop")
	if c.Loops != 2 || !slices.Equal(c.Listen, []string{":1", ":2"}) || c.Control != filepath.Join(dir, "x.sock") || c.TLS.Optional || a.QueueAge != 4*time.Second || a.RecycleMemory != 1<<30 || a.RecycleRequests != 9 || c.Limits.MaxBody != 5 {
		t.Errorf("got %+v", c)
	}
	for _, f := range [][3]string{{"", "loops", "0"}, {"", "queue", "1"}, {"nobody", "queue", "1"}, {"shop", "queue", "x"}, {"", "extends", "x"}, {"", "listen", "x"}} {
		if err := c.SetFlag(f[0], f[1], []string{f[2]}); err == nil {
			t.Errorf("%v is taken", f)
		}
	}
	for _, s := range append(c.Settings(""), c.Settings("shop")...) {
		if m, ok := s.Value.(map[string]string); ok && m != nil {
			continue // no flag could take it
		}
		if err := c.SetFlag(s.App, s.Key.Name, s.FlagText()); err != nil {
			t.Errorf("%s: what its flag would take, %q, is refused: %v", s.Key.Name, s.FlagText(), err)
		}
	}
}

// TestEnviron: N62, only what is listed passes; without a list everything does.
func TestEnviron(t *testing.T) {
	base := []string{"PATH=/bin", "HOME=/root", "LANG=C", "EMPTY="}
	for _, tt := range []struct {
		app  App
		want []string
	}{
		{App{}, base},
		{App{EnvAllow: []string{}}, nil},
		{App{EnvAllow: []string{"HOME", "MISSING", "EMPTY"}}, []string{"HOME=/root", "EMPTY="}},
		{App{Env: map[string]string{"B": "2", "A": "x=y", "LANG": "de"}}, []string{"PATH=/bin", "HOME=/root", "EMPTY=", "A=x=y", "B=2", "LANG=de"}},
		{App{EnvAllow: []string{"LANG"}, Env: map[string]string{"LANG": ""}}, []string{"LANG="}},
	} {
		if got := tt.app.Environ(base); !slices.Equal(got, tt.want) {
			t.Errorf("%v, %v: got %q, want %q", tt.app.EnvAllow, tt.app.Env, got, tt.want)
		}
	}
}

// wrong loads a file that must be refused, and gives all that is said.
func wrong(t *testing.T, file string) []string {
	t.Helper()
	c, err := Load(file)
	var all Errors
	if !errors.As(err, &all) {
		t.Fatalf("%s: got %+v, %v, want Errors", file, c, err)
	}
	return strings.Split(all.Error(), "\n")
}

func ExampleErrors() {
	fmt.Println(Errors{{"heddle.toml", 3, `loops: 0: want a number from 1 to 256`}, {"heddle.toml", 0, "it names no app"}})
	// Output:
	// heddle.toml:3: loops: 0: want a number from 1 to 256
	// heddle.toml: it names no app
}
