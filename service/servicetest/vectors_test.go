package servicetest

import (
	"bytes"
	"encoding/hex"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/heddle-go/heddle"
)

// A row is one of codec/testdata/cocaine.tsv: what a client has sent to a real
// runtime, or what that has answered.
type row struct {
	n             int
	peer, dialect string
	answer        bool // by the runtime
	verdict, form string
	what          string
	bytes         []byte // none: the runtime closed the connection
}

// dialogues returns the rows between clients and runtimes.
func dialogues(t *testing.T) []row {
	t.Helper()
	text, err := os.ReadFile("../../codec/testdata/cocaine.tsv")
	if err != nil {
		t.Fatal(err)
	}
	var rows []row
	for i, line := range strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")[1:] {
		c := strings.Split(line, "\t")
		r := row{n: i, peer: c[2], dialect: c[3], answer: c[4] == "runtime->client", verdict: c[9], form: c[10], what: c[12]}
		if !r.answer && c[4] != "client->runtime" {
			continue
		}
		if r.bytes, err = hex.DecodeString(c[11]); err != nil {
			t.Fatalf("row %d: %v", i, err)
		}
		rows = append(rows, r)
	}
	if len(rows) != 309 {
		t.Fatalf("%d rows, want 309", len(rows))
	}
	return rows
}

// recorded is a cloud like the real ones.
func recorded(t *testing.T, d heddle.Dialect, slips *slipList) *Cloud {
	// The name of the machine of the capture.
	o := Options{Host: "vm", OnSlip: slips.add}
	if d == Runtime012 {
		o.Host = "127.0.0.1"
	}
	return New(t, d, o)
}

// recordedApps are those that the clients have called.
func recordedApps(c *Cloud) {
	if c.dialect == Runtime011 {
		// These frameworks pack what an app writes; see PROTOCOL.md 4.
		pack := func(pieces ...any) func(*Call) {
			return func(call *Call) {
				for _, p := range pieces {
					if p == nil {
						p = call.Text(1)
					}
					_ = call.Write(string(Pack(p)))
				}
			}
		}
		web := func(head, second, third any) func(*Call) {
			return func(call *Call) {
				_ = call.Write(string(Pack(head)))
				pack(second, third)(call)
			}
		}
		head := func(name, value string) any { return []any{201, []any{[]any{name, value}}} }
		c.App("goapp", map[string]func(*Call){"echo": pack(nil, []any{1, "two", "three"}), "http": web(head("X-Echo-Url", "/some/path?q=1"), "first;", "echo:thebody")})
		c.App("pyapp", map[string]func(*Call){"echo": pack(nil, []any{1, "two"}), "http": web(head("X-Method", "GET"), "first;", "echo:")})
		c.App("nodeapp", nil)
		return
	}
	web := func(call *Call) {
		if _, err := call.Piece(); err != nil {
			return
		}
		_ = call.Write(string(Pack([]any{201, []any{[]any{"X-Echo-Url", "/some/path?q=1"}}})))
		_ = call.Write("first;")
		_ = call.Write("echo:thebody")
	}
	for _, app := range []string{"g12app", "n4app", "p12app"} {
		c.App(app, map[string]func(*Call){"http": web})
	}
}

// withEndpoint is a recorded answer to resolve with another endpoint; of other
// frames nothing changes.
func withEndpoint(t *testing.T, r row, e Endpoint) []byte {
	f, err := parse(r.bytes, 0)
	if err != nil {
		t.Fatalf("row %d: %v", r.n, err)
	}
	frame := f.value().([]any)
	args := frame[2].([]any)
	at := []any{e.Host, e.Port}
	if r.dialect == "v1" {
		if len(args) != 3 {
			return r.bytes
		}
		frame[2] = []any{[]any{at}, args[1], args[2]}
		return Pack(frame)
	}
	if len(args) != 1 {
		return r.bytes
	}
	result, err := Unpack([]byte(args[0].(string)))
	if list, ok := result.([]any); err == nil && ok && len(list) == 3 {
		if _, ok := list[0].([]any); ok {
			frame[2] = []any{string(Pack([]any{at, list[1], list[2]}))}
			return Pack(frame)
		}
	}
	return r.bytes
}

var toService = regexp.MustCompile(`^([a-z0-9]+)(: | method |\.resolve )`)

// serviceOf tells which service a request went to.
func serviceOf(r row) string {
	if m := toService.FindStringSubmatch(r.what); m != nil && !strings.HasPrefix(r.peer, "probe") {
		return m[1]
	}
	name, _, _ := strings.Cut(strings.ReplaceAll(r.what, ".", " "), " ")
	if name == "storage" || name == "logging" || name == "node" {
		return name
	}
	return "locator"
}

// A session is one connection of a recorded client.
type session struct {
	*peer
	channel uint64 // v1: the highest
	pending bool   // v0: the last request has not been answered with choke
	last    uint64 // v0: its session
	early   [][]byte
}

// TestRecorded sends what clients have sent to the real runtimes and wants the
// same bytes in answer, but for the endpoints, and the end of the connection
// where the real ones have ended it. Of some calls no answer was recorded.
func TestRecorded(t *testing.T) {
	counts := map[string]int{}
	for _, d := range []heddle.Dialect{Runtime011, Runtime012} {
		t.Run(d.String(), func(t *testing.T) {
			slips := new(slipList)
			c := recorded(t, d, slips)
			conns := map[string]*session{}
			var asked row
			var ended []row
			var own Endpoint // of the service that was asked for
			wrong := map[string]row{}
			for _, r := range dialogues(t) {
				if r.dialect != d.String() {
					continue
				}
				key := asked.peer + serviceOf(asked)
				switch {
				case !r.answer:
					if !strings.HasPrefix(r.peer, "probe") && c.Service("g12app") == nil && c.Service("goapp") == nil {
						recordedApps(c) // the probe's runtime had none
					}
					asked, key = r, r.peer+serviceOf(r)
					conns[key] = ask(t, c, conns[key], r)
					if s := c.Service(nameIn(r.bytes)); s != nil {
						own = s.Endpoints()[0]
					}
					if r.verdict != "accept" || r.form != "shortest" {
						wrong[string(r.bytes)] = r
					}
				case len(r.bytes) == 0:
					conns[key].wantEnd()
					delete(conns, key)
					ended = append(ended, asked)
				default:
					want := withEndpoint(t, r, own)
					if got := conns[key].answer(d, want); !bytes.Equal(got, want) {
						t.Errorf("row %d (%s): got\n%x, want\n%x", r.n, r.what, got, want)
					}
					counts[d.String()]++
				}
			}
			counts[d.String()+" ended"] = len(ended)
			got := map[string]Slip{}
			for _, s := range slips.all() {
				got[string(s.Frame)] = s
				if _, ok := wrong[string(s.Frame)]; !ok {
					t.Errorf("slip for a frame that is right: %v", s)
				}
			}
			for frame, r := range wrong {
				if s, ok := got[frame]; !ok || s.Dropped != (r.verdict != "accept") {
					t.Errorf("row %d (%s) is verdict %q, form %q; slip %v", r.n, r.what, r.verdict, r.form, s)
				}
			}
		})
	}
	for what, want := range map[string]int{"v0": 84 - 3, "v1": 62 - 12, "v0 ended": 3, "v1 ended": 12} {
		if counts[what] != want {
			t.Errorf("%s: %d answers, want %d", what, counts[what], want)
		}
	}
}

// ask sends a request, on another connection if need be.
func ask(t *testing.T, c *Cloud, s *session, r row) *session {
	t.Helper()
	f, err := parse(r.bytes, 0)
	if err != nil {
		t.Fatalf("row %d: %v", r.n, err)
	}
	id := f.list[1].u
	if r.dialect == "v1" {
		id = f.list[0].u
	}
	follows := strings.Contains(r.what, "stream message") || strings.Contains(r.what, "same channel")
	if s == nil || r.dialect == "v1" && id <= s.channel && !follows && id > 0 {
		service := c.Service(serviceOf(r))
		if service == nil {
			t.Fatalf("row %d: no service %q for %q", r.n, serviceOf(r), r.what)
		}
		s = &session{peer: dial(t, service.Endpoint())}
		// What the probe had sent before, and is not in the record.
		switch {
		case strings.HasPrefix(r.what, "re-use of a finished channel"):
			s.call(id, 0, "nope")
			s.want(id, 1, []any{10, 1}, "service is not available")
		case strings.HasPrefix(r.what, "channel id lower"):
			s.call(id+4, 0, "nope")
			s.want(id+4, 1, []any{10, 1}, "service is not available")
		}
	}
	for s.pending { // v0: of the calls of one client, one after another
		s.early = append(s.early, s.frame())
	}
	s.send(r.bytes...)
	if s.channel = max(s.channel, id); r.dialect == "v0" && r.verdict == "accept" {
		s.pending, s.last = true, id
	}
	return s
}

// frame reads one.
func (s *session) frame() []byte {
	s.t.Helper()
	f, b, err := s.next()
	if err != nil {
		s.t.Fatalf("got %v (%x), want a frame", err, b)
	}
	if s.pending && f.list[0].u == heddle.TypeV0Choke && f.list[1].u == s.last {
		s.pending = false
	}
	return b
}

// answer reads the next frame on want's session or channel.
func (s *session) answer(d heddle.Dialect, want []byte) []byte {
	s.t.Helper()
	i := 0
	if d == heddle.V0 {
		i = 1
	}
	id := func(p []byte) uint64 {
		f, err := parse(p, 0)
		if err != nil {
			s.t.Fatal(err)
		}
		return f.list[i].u
	}
	for {
		var b []byte
		if len(s.early) > 0 {
			b, s.early = s.early[0], s.early[1:]
		} else {
			b = s.frame()
		}
		if id(b) == id(want) {
			return b
		}
	}
}

// nameIn is the first argument of a request, if it is text.
func nameIn(p []byte) string {
	f, err := parse(p, 0)
	if err != nil || len(f.list) < 3 || len(f.list[2].list) == 0 {
		return ""
	}
	return string(f.list[2].list[0].raw)
}
