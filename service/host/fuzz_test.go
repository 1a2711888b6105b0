package host

import (
	"encoding/hex"
	"errors"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/codec"
	"github.com/heddle-go/heddle/session/sessiontest"
)

// A sink is a client that keeps what it gets.
type sink struct {
	mu     sync.Mutex
	got    []byte
	closed chan struct{}
}

func (s *sink) OnOpen() {}
func (s *sink) OnBytes(p []byte) (int, error) {
	s.mu.Lock()
	s.got = append(s.got, p...)
	s.mu.Unlock()
	return len(p), nil
}
func (s *sink) OnEOF()        {}
func (s *sink) OnDrain()      {}
func (s *sink) OnClose(error) { close(s.closed) }

// FuzzServices sends bytes to each service in each dialect: whatever they are, the
// connection ends when the client's side does, what it has answered are whole frames,
// and the next client is served.
func FuzzServices(f *testing.F) {
	text, err := os.ReadFile("../../codec/testdata/cocaine.tsv")
	must(f, err)
	for line := range strings.SplitSeq(string(text), "\n") {
		if c := strings.Split(line, "\t"); len(c) > 11 && c[4] == "client->runtime" {
			b, err := hex.DecodeString(c[11])
			must(f, err)
			for service := range fuzzed {
				f.Add(uint8(service), c[3] == "v1", b)
			}
		}
	}
	c, err := Start(Options{Locator: "127.0.0.1:0", Storage: f.TempDir(), Cluster: true, Blob: 1 << 16, Sessions: 64})
	must(f, err)
	f.Cleanup(func() { _ = c.Close(f.Context()) })
	must(f, c.AddApp(App{Name: "app", Opener: nobody{}}))
	f.Fuzz(func(t *testing.T, service uint8, v1 bool, p []byte) {
		d := heddle.V0
		if v1 {
			d = heddle.V1
		}
		door := c.find(fuzzed[int(service)%len(fuzzed)]).doors[d]
		if door.both && len(p) > 0 { // it is told by the bytes
			if told, err := codec.Detect(p); err == nil {
				d = told
			}
		}
		ours, theirs := sessiontest.New()
		s := &sink{closed: make(chan struct{})}
		ours.Start(newConn(door, 0, ours, func() endpoint { return endpoint{Host: "127.0.0.1"} }, endpoint{}))
		theirs.Start(s)
		if _, err := theirs.Send(p, nil); err != nil {
			t.Fatal(err)
		}
		theirs.CloseWrite()
		select {
		case <-s.closed:
		case <-time.After(patience):
			t.Fatal("the connection does not end")
		}
		ours.Abort(nil)
		theirs.Abort(nil)
		ours.Wait()
		theirs.Wait()
		dec := codec.NewDecoder(d, codec.Limits{})
		for left := s.got; len(left) > 0; {
			_, n, err := dec.Next(left)
			if err != nil && !errors.Is(err, codec.ErrShort) || err != nil && len(s.got) > 0 && n == 0 {
				t.Fatalf("answered %x, of which %x is no frame: %v", s.got, left, err)
			}
			left = left[n:]
		}
		if n := c.pending.used.Load(); n != 0 {
			t.Fatalf("%d bytes are held", n)
		}
	})
}

var fuzzed = []string{"locator", "logging", "storage", "node", "app"}
