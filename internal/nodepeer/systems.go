package nodepeer

import (
	"context"
	_ "embed"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/heddle-go/heddle/session/ipc/jsonwire"
)

var (
	//go:embed testdata/lib.js
	lib string
	//go:embed testdata/socket-ipc-client.js
	socketIPCClient string
	//go:embed testdata/socket-ipc-server.js
	socketIPCServer string
	//go:embed testdata/node-ipc-client.js
	nodeIPCClient string
	//go:embed testdata/node-ipc-server.js
	nodeIPCServer string
	//go:embed testdata/nodesockd-client.js
	nodesockdClient string
)

// peerLimit bounds a peer's life.
const peerLimit = 90 * time.Second

// A System is one of the older ones, with a client and a server.
type System struct {
	Name    string
	Package string // and its version
	Framing jsonwire.Framing

	client, server string
	again          string // what its client tells when the connection is there again
	reserved       bool   // topics named as its own events do not get through
	noFalsy        bool   // null and the empty text arrive as {}
}

// The systems. Their servers, in our scripts, send a message of topic "shout" to all clients, make an event of
// one of "tell", and send any other back; a server that is tried with TalkToServer does so, too.
var (
	SocketIPC = System{Name: "socket-ipc", Package: "@crussell52/socket-ipc@0.4.0", Framing: jsonwire.SocketIPC,
		client: socketIPCClient, server: socketIPCServer, again: "reconnect"}
	NodeIPC = System{Name: "node-ipc", Package: "node-ipc@9.2.1", Framing: jsonwire.NodeIPC,
		client: nodeIPCClient, server: nodeIPCServer, again: "connect", reserved: true, noFalsy: true}
)

// Client starts the system's client for the socket at path. The test is skipped where node or the package cannot
// be had. The peer is stopped when the test ends.
func (s System) Client(t testing.TB, path string) *Peer {
	t.Helper()
	return s.start(t, s.client, path)
}

// Server starts the system's server on the socket at path, and returns when it listens; otherwise as Client.
func (s System) Server(t testing.TB, path string) *Peer {
	t.Helper()
	p := s.start(t, s.server, path)
	Await(t, p, "listening")
	return p
}

func (s System) start(t testing.TB, script, path string) *Peer {
	t.Helper()
	modules, err := Install(t.Context(), s.Package)
	if errors.Is(err, ErrMissing) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return startTest(t, modules, script, path)
}

// Nodesockd starts a Nodesockd client for the socket at path: the real one when real is set, for which
// HEDDLE_TEST_NODESOCKD has to name a built Nodesockd, else the stand-in. The test is skipped where that or node
// is missing. The peer is stopped when the test ends.
func Nodesockd(t testing.TB, path string, real bool) *Peer {
	t.Helper()
	args := []string{path}
	if real {
		dir := os.Getenv("HEDDLE_TEST_NODESOCKD")
		if dir == "" {
			t.Skip("Nodesockd is in no registry; HEDDLE_TEST_NODESOCKD may name the directory of a built one")
		}
		args = append(args, dir)
	}
	return startTest(t, "", nodesockdClient, args...)
}

func startTest(t testing.TB, modules, script string, args ...string) *Peer {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), peerLimit)
	p, err := Start(ctx, modules, script, args...)
	if err != nil {
		cancel()
		if errors.Is(err, ErrMissing) {
			t.Skip(err)
		}
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = p.Stop() // a test that cares has asked
		cancel()
	})
	return p
}

// Await reads events until one of that name, and returns it. It fails the test when the peer leaves.
func Await(t testing.TB, p *Peer, name string) Event {
	t.Helper()
	for {
		e, err := p.Next()
		if err != nil {
			t.Fatalf("awaiting %s: %v", name, err)
		}
		if e.Event == name {
			return e
		}
	}
}
