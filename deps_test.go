package heddle_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/heddle-go/heddle"

var update = flag.Bool("update", false, "write the golden files anew")

// A room may import, of ours, the rooms in below and whatever they may; of
// others, the packages in takes and those in anywhere. A path covers what is
// under it.
type room struct {
	below []string
	takes []string
}

const (
	msgp  = "github.com/tinylib/msgp/msgp"
	fsm   = "github.com/looplab/fsm"
	rate  = "golang.org/x/time/rate"
	uuid  = "github.com/google/uuid"
	sys   = "golang.org/x/sys"
	cobra = "github.com/spf13/cobra"
	pflag = "github.com/spf13/pflag"
	toml  = "github.com/BurntSushi/toml"
	prom  = "github.com/prometheus/client_golang"
	hdr   = "github.com/HdrHistogram/hdrhistogram-go"
	acme  = "github.com/caddyserver/certmagic"
	nats  = "github.com/nats-io"
	tea   = "github.com/charmbracelet/bubbletea"
	xsync = "golang.org/x/sync"

	notify = "github.com/fsnotify/fsnotify"
)

// gnet lists the poller and the packages that its interface is written in. The
// engine, gnet's root package, is not among them.
var gnet = []string{
	"github.com/panjf2000/gnet/v2/pkg/netpoll",
	"github.com/panjf2000/gnet/v2/pkg/queue",
	"github.com/panjf2000/gnet/v2/pkg/errors",
	"github.com/panjf2000/gnet/v2/pkg/logging",
}

// anywhere lists what any room may import: the kernel's names, and ids.
var anywhere = []string{sys, uuid}

// rooms is the picture in STYLE, "Who may import whom", by path below the
// module. A room may be listed before it exists; one that exists and is not
// listed fails the test.
var rooms = map[string]room{
	"":                          {takes: []string{msgp}},
	"codec":                     {below: []string{""}, takes: []string{msgp}},
	"codec/value":               {below: []string{""}, takes: []string{msgp}},
	"loop":                      {takes: gnet},
	"session":                   {below: []string{"codec", "loop"}},
	"session/sessiontest":       {below: []string{"session"}},
	"session/ipc":               {below: []string{"session", "codec/value", "session/ipc/jsonwire"}},
	"session/ipc/jsonwire":      {},
	"service/locator":           {below: []string{"session", "codec/value"}, takes: []string{nats}},
	"service":                   {below: []string{"service/locator"}, takes: []string{fsm}},
	"service/host":              {below: []string{"service/locator", "codec/value"}},
	"service/servicetest":       {below: []string{"codec"}},
	"worker":                    {below: []string{"session/ipc", "codec/value"}, takes: []string{fsm}},
	"worker/workertest":         {below: []string{"worker", "session/sessiontest"}},
	"worker/engine/guard":       {},
	"worker/engine":             {below: []string{"session/ipc", "codec/value", "internal/histogram", "worker/engine/guard"}, takes: []string{fsm, rate}},
	"internal/histogram":        {},
	"internal/nodepeer":         {below: []string{"session/ipc/jsonwire"}},
	"httpcompat":                {below: []string{"worker"}},
	"httpcompat/httpcompattest": {below: []string{"httpcompat", "worker/workertest"}},
	"httpcompat/front":          {below: []string{"httpcompat", "internal/histogram"}, takes: []string{rate}},
	"cmd/internal/admin":        {below: []string{"worker/engine", "httpcompat/front", "service/host", "cmd/internal/gateway"}, takes: []string{prom}},
	"httpcompat/upstream":       {below: []string{"httpcompat"}},
	"cmd/internal/bench":        {below: []string{"loop", "service"}, takes: []string{hdr}},
	"cmd/internal/bench/report": {below: []string{"cmd/internal/bench"}, takes: []string{hdr}},
	"cmd/internal/config":       {below: []string{"worker/engine", "httpcompat/front"}, takes: []string{toml}},
	"cmd/internal/systemd":      {},
	"cmd/internal/watch":        {takes: []string{notify}},
	"cmd/internal/gateway":      {below: []string{"httpcompat/front", "service"}},
	"cmd/internal/logs":         {below: []string{"worker/engine", "httpcompat/front"}},
	"cmd/heddle": {
		below: []string{"worker/engine", "httpcompat/front", "httpcompat/upstream", "service", "service/host", "cmd/internal/admin", "cmd/internal/bench", "cmd/internal/bench/report", "cmd/internal/config", "cmd/internal/gateway", "cmd/internal/logs", "cmd/internal/systemd", "cmd/internal/watch"},
		takes: []string{fsm, cobra, pflag, prom, acme, tea, nats, xsync},
	},

	"examples/hello":           {below: []string{"httpcompat"}},
	"examples/echo":            {below: []string{"worker"}},
	"examples/files":           {below: []string{"httpcompat"}},
	"examples/stream":          {below: []string{"httpcompat"}},
	"examples/upload":          {below: []string{"httpcompat"}},
	"examples/lifecycle":       {below: []string{"httpcompat"}},
	"examples/master":          {below: []string{"worker", "worker/engine"}},
	"examples/relay":           {below: []string{"session"}},
	"bench/bare":               {},
	"bench/cloudapp":           {below: []string{"service/locator"}},
	"bench/internal/stack":     {},
	"bench/hello":              {below: []string{"bench/internal/stack", "bench/internal/figures"}},
	"bench/big":                {below: []string{"bench/internal/stack"}},
	"bench/internal/clock":     {},
	"bench/internal/child":     {},
	"bench/app":                {below: []string{"httpcompat", "bench/internal/clock"}},
	"bench/gone":               {below: []string{"bench/internal/stack", "bench/internal/clock"}},
	"bench/sse":                {below: []string{"bench/internal/stack", "bench/internal/clock"}},
	"bench/stall":              {below: []string{"bench/internal/stack", "bench/internal/clock"}},
	"bench/stdlib-suite":       {},
	"bench/internal/pattern":   {},
	"bench/internal/figures":   {},
	"bench/peers":              {below: []string{"worker/engine", "bench/internal/stack", "bench/internal/clock", "bench/internal/pattern", "bench/internal/figures"}},
	"bench/peers/app":          {below: []string{"httpcompat", "bench/internal/pattern"}},
	"bench/peers/reverseproxy": {},
	"bench/growth":             {below: []string{"bench/internal/stack", "bench/internal/figures"}},
	"bench/idle":               {below: []string{"bench/internal/stack", "bench/internal/figures"}},
	"bench/messages":           {below: []string{"session/ipc", "bench/internal/child", "bench/internal/figures", "internal/nodepeer"}},
	"bench/cocaine":            {below: []string{"worker", "worker/engine", "bench/internal/child", "bench/internal/figures"}},
	"bench/generators":         {below: []string{"loop", "bench/internal/child", "bench/internal/figures", "bench/internal/stack"}},
	"bench/h2spec":             {below: []string{"bench/internal/stack"}},
	"bench/internal/websocket": {},
	"bench/internal/traffic":   {below: []string{"bench/internal/pattern", "bench/internal/websocket"}},
	"bench/internal/daemon":    {below: []string{"bench/internal/stack"}},
	"bench/lifecycle":          {below: []string{"bench/internal/daemon", "bench/internal/pattern", "bench/internal/traffic", "bench/internal/stack", "bench/internal/clock", "bench/internal/figures"}},
	"bench/realpeers":          {below: []string{"codec", "codec/value", "service/servicetest", "bench/internal/daemon", "bench/internal/stack"}, takes: []string{toml}},
	"bench/realpeers/worker":   {below: []string{"worker", "httpcompat"}},
	"bench/lifecycle/app":      {below: []string{"httpcompat", "bench/internal/pattern", "bench/internal/websocket"}},
}

// workerRooms are what a program links that calls httpcompat.ListenAndServe.
var workerRooms = []string{"", "codec", "codec/value", "loop", "session", "session/ipc", "session/ipc/jsonwire", "worker", "httpcompat"}

// TestRooms holds the import statements, those of tests left out, against the
// picture.
func TestRooms(t *testing.T) {
	for _, p := range list(t, "./...") {
		name := roomOf(p.ImportPath)
		r, ok := rooms[name]
		if !ok {
			t.Errorf("room %q is not in the table of deps_test.go: say there what it may import", name)
			continue
		}
		reach := below(name)
		for _, imported := range p.Imports {
			switch {
			case standard(imported):
			case ours(imported):
				if !reach[roomOf(imported)] {
					t.Errorf("room %q imports %q, which is not below it", name, roomOf(imported))
				}
			case !covered(imported, r.takes) && !covered(imported, anywhere):
				t.Errorf("room %q imports %s, which is not for it: it takes %q and, as any room, %q", name, imported, r.takes, anywhere)
			}
		}
	}
}

// TestTable tells whether the table itself makes sense.
func TestTable(t *testing.T) {
	for name, r := range rooms {
		for _, b := range r.below {
			if _, ok := rooms[b]; !ok {
				t.Errorf("room %q has %q below it, which is not in the table", name, b)
			}
		}
		if below(name)[name] {
			t.Errorf("room %q is below itself", name)
		}
	}
	for _, pair := range [][2]string{{"worker", "service"}, {"service", "worker"}, {"worker/engine", "worker"}, {"worker/engine", "service"}} {
		if below(pair[0])[pair[1]] {
			t.Errorf("the table lets %q import %q; they are siblings", pair[0], pair[1])
		}
	}
}

// TestWorkerDeps keeps what a worker links small: few direct requirements, and
// none in the transitive set that nobody knows of. docs/dependencies.md says
// what the set adds to a binary.
func TestWorkerDeps(t *testing.T) {
	direct := slices.Concat(gnet, anywhere, []string{msgp, fsm})
	var patterns []string
	for _, p := range list(t, "./...") {
		if slices.Contains(workerRooms, roomOf(p.ImportPath)) {
			patterns = append(patterns, p.ImportPath)
		}
	}
	var got []string
	for _, p := range list(t, append([]string{"-deps"}, patterns...)...) {
		switch {
		case p.Standard:
		case !ours(p.ImportPath):
			got = append(got, p.ImportPath)
		case !slices.Contains(workerRooms, roomOf(p.ImportPath)):
			t.Errorf("a worker links room %q", roomOf(p.ImportPath))
		default:
			for _, imported := range p.Imports {
				if !standard(imported) && !ours(imported) && !covered(imported, direct) {
					t.Errorf("room %q asks for %s; what a worker links may ask for nothing but %q", roomOf(p.ImportPath), imported, direct)
				}
			}
		}
	}
	slices.Sort(got)
	golden(t, "worker-deps.txt", strings.Join(got, "\n")+"\n")
}

// TestDependenciesPage wants a row on the page for each line of go.mod, with
// the version that go.mod has.
func TestDependenciesPage(t *testing.T) {
	var mod struct {
		Require []struct{ Path, Version string }
	}
	if err := json.Unmarshal(goTool(t, "mod", "edit", "-json"), &mod); err != nil {
		t.Fatal(err)
	}
	const page = "docs/dependencies.md"
	b, err := os.ReadFile(filepath.FromSlash(page))
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range mod.Require {
		if want := fmt.Sprintf("\n| %s | %s | ", m.Path, m.Version); !bytes.Contains(b, []byte(want)) {
			t.Errorf("%s has no row that begins %q: a dependency needs its reason there", page, strings.TrimSpace(want))
		}
	}
}

// below returns the rooms that may be imported by the room called name.
func below(name string) map[string]bool {
	reach := make(map[string]bool)
	var walk func(string)
	walk = func(n string) {
		for _, b := range rooms[n].below {
			if !reach[b] {
				reach[b] = true
				walk(b)
			}
		}
	}
	walk(name)
	return reach
}

func roomOf(path string) string {
	return strings.TrimPrefix(strings.TrimPrefix(path, module), "/")
}

func ours(path string) bool { return covered(path, []string{module}) }

// standard goes by the rule that module paths begin with a domain and the
// standard library's packages do not.
func standard(path string) bool {
	first, _, _ := strings.Cut(path, "/")
	return !strings.Contains(first, ".")
}

func covered(path string, prefixes []string) bool {
	return slices.ContainsFunc(prefixes, func(p string) bool {
		return path == p || strings.HasPrefix(path, p+"/")
	})
}

type pkg struct {
	ImportPath string
	Standard   bool
	Imports    []string
}

func list(t *testing.T, args ...string) []pkg {
	t.Helper()
	// go test takes a result from its cache unless a file or directory that the
	// test itself opened has changed; what go list opens it does not see.
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if d != nil && d.IsDir() && d.Name() == ".git" {
			return filepath.SkipDir
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	out := json.NewDecoder(bytes.NewReader(goTool(t, append([]string{"list", "-json=ImportPath,Standard,Imports"}, args...)...)))
	var pkgs []pkg
	for {
		var p pkg
		err := out.Decode(&p)
		if err == io.EOF {
			return pkgs
		}
		if err != nil {
			t.Fatalf("go list: %v", err)
		}
		pkgs = append(pkgs, p)
	}
}

// goTool runs go as if for Linux, so that the answer is the same everywhere.
func goTool(t *testing.T, args ...string) []byte {
	t.Helper()
	cmd := exec.Command("go", args...)
	cmd.Env = append(os.Environ(), "GOOS=linux", "GOARCH=amd64", "CGO_ENABLED=0")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, &stderr)
	}
	return out
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s: got\n%s\nwant\n%s\nIf the change is meant: go test . -run %s -update", file, got, want, t.Name())
	}
}
