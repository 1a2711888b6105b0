//go:build linux

package host

import (
	"bytes"
	"encoding/hex"
	"io"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	heddle "github.com/heddle-go/heddle"
)

// A row is one of codec/testdata/cocaine.tsv: what a client has sent to a real
// runtime, or what that has answered.
type row struct {
	n             string
	peer, dialect string
	answer        bool // by the runtime
	what          string
	bytes         []byte // none: the runtime closed the connection
}

func dialogues(t *testing.T) (rows []row) {
	t.Helper()
	text, err := os.ReadFile("../../codec/testdata/cocaine.tsv")
	must(t, err)
	for line := range strings.SplitSeq(strings.TrimSuffix(string(text), "\n"), "\n") {
		c := strings.Split(line, "\t")
		r := row{n: c[0], peer: c[2], dialect: c[3], answer: c[4] == "runtime->client", what: c[12]}
		if !r.answer && c[4] != "client->runtime" {
			continue
		}
		r.bytes, err = hex.DecodeString(c[11])
		must(t, err)
		rows = append(rows, r)
	}
	return rows
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

// A dialogue is one connection of a recorded client.
type dialogue struct {
	*peer
	channel uint64 // v1: the highest
	pending bool   // v0: the last request has not been answered with choke
	last    uint64 // v0: its session
	early   [][]byte
}

// frame is the bytes of the next one, and its session.
func (s *dialogue) frame() ([]byte, uint64) {
	s.t.Helper()
	f, raw, err := s.next()
	if err != nil {
		s.t.Fatal(err)
	}
	if s.pending && f.Type == choke0 && f.Session == s.last {
		s.pending = false
	}
	return bytes.Clone(raw), f.Session
}

// answer reads the next frame on a session.
func (s *dialogue) answer(session uint64) []byte {
	s.t.Helper()
	for {
		if len(s.early) > 0 {
			b := s.early[0]
			s.early = s.early[1:]
			if sessionIn(s.t, b, s.d) == session {
				return b
			}
			continue
		}
		if b, got := s.frame(); got == session {
			return b
		}
	}
}

func sessionIn(t testing.TB, frame []byte, d heddle.Dialect) uint64 {
	var all []any
	unpack(t, string(frame), &all)
	at := 0
	if d == heddle.V0 {
		at = 1
	}
	n, _ := all[at].(int64)
	return uint64(max(n, 0))
}

// withPort is a recorded answer with another port where it names an endpoint: that
// of the machine of the capture.
func withPort(t *testing.T, answer []byte, addr string) []byte {
	_, port, _ := cutLast(addr, ":")
	n, err := strconv.Atoi(port)
	must(t, err)
	for _, host := range []string{"\xa2vm\xcd", "\xa9127.0.0.1\xcd"} {
		if before, after, ok := bytes.Cut(answer, []byte(host)); ok {
			return slices.Concat(before, []byte(host), []byte{byte(n >> 8), byte(n)}, after[2:])
		}
	}
	return answer
}

// TestRecorded sends what clients have sent to the real runtimes' own services and
// wants the same bytes in answer, but for ports, and the end of the connection where
// the real ones have ended it.
func TestRecorded(t *testing.T) {
	counts := map[string]int{}
	for _, d := range []heddle.Dialect{heddle.V0, heddle.V1} {
		t.Run(d.String(), func(t *testing.T) {
			r := newRig(t, workerKinds[1])
			c := start(t, Options{Host: "vm", UUID: "57c7ddbb-b81f-4534-bd36-3bdc1a1b718c", Storage: t.TempDir()})
			conns := map[string]*dialogue{}
			var asked row
			var own string // where the service is that was asked for
			probing := true
			for _, row := range dialogues(t) {
				if row.dialect != d.String() {
					continue
				}
				if !row.answer {
					asked = row
				}
				service := serviceOf(asked)
				key := asked.peer + service
				if probing && !strings.HasPrefix(row.peer, "probe") && !row.answer {
					probing = false // the probe's runtime had no apps
					for _, app := range []string{"goapp", "pyapp", "nodeapp", "g12app", "n4app", "p12app"} {
						must(t, c.AddApp(App{Name: app, Opener: r}))
					}
				}
				switch {
				case c.app(service) != nil: // the workers' words are their own
				case strings.Contains(asked.what, "channel id 0") || strings.Contains(asked.what, "v0-like frame"):
					// At a locator for both dialects this is one of v0's.
				case !row.answer:
					conns[key] = ask(t, c, conns[key], row, d)
					if name := nameIn(row.bytes); c.AddrOf(name, d) != "" && service == "locator" {
						own = c.AddrOf(name, d)
					}
				case len(row.bytes) == 0:
					if _, raw, err := conns[key].next(); err != io.EOF {
						t.Errorf("row %s (%s): got %x, want the end of the connection", row.n, row.what, raw)
					}
					delete(conns, key)
					counts[d.String()+" ended"]++
				default:
					want := row.bytes
					if own != "" {
						want = withPort(t, want, own)
					}
					if got := conns[key].answer(sessionIn(t, want, d)); !bytes.Equal(got, want) {
						t.Errorf("row %s (%s): got\n%x, want\n%x", row.n, row.what, got, want)
					}
					counts[d.String()]++
				}
			}
		})
	}
	for what, want := range map[string]int{"v0": 67, "v1": 36, "v0 ended": 3, "v1 ended": 12 - 2} {
		if counts[what] != want {
			t.Errorf("%s: %d answers, want %d", what, counts[what], want)
		}
	}
}

// ask sends a request, on another connection if need be.
func ask(t *testing.T, c *Cloud, s *dialogue, r row, d heddle.Dialect) *dialogue {
	t.Helper()
	id := sessionIn(t, r.bytes, d)
	follows := strings.Contains(r.what, "stream message") || strings.Contains(r.what, "same channel")
	if s == nil || d == heddle.V1 && id <= s.channel && !follows && id > 0 {
		s = &dialogue{peer: to(t, c, serviceOf(r), d)}
		// What the probe had sent before, and is not in the record.
		before := uint64(0)
		switch {
		case strings.HasPrefix(r.what, "re-use of a finished channel"):
			before = id
		case strings.HasPrefix(r.what, "channel id lower"):
			before = id + 4
		}
		if before > 0 {
			s.call(before, 0, "nope")
			s.want(before, error1, []any{10, 1}, "service is not available")
		}
	}
	for s.pending { // v0: of the calls of one client, one after another
		b, _ := s.frame()
		s.early = append(s.early, b)
	}
	s.send(r.bytes)
	if s.channel = max(s.channel, id); d == heddle.V0 && !strings.Contains("4-element frame (request) negative session id (request) args as map (request)", r.what) {
		s.pending, s.last = true, id
	}
	return s
}

// nameIn is the first argument of a request, if it is text.
func nameIn(p []byte) string {
	var all []any
	if _, err := unpackErr(p, &all); err != nil || len(all) < 3 {
		return ""
	}
	args, _ := all[2].([]any)
	if len(args) == 0 {
		return ""
	}
	name, _ := args[0].(string)
	return name
}
