package main

import (
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"path/filepath"
	"time"

	"github.com/heddle-go/heddle/internal/nodepeer"
)

//go:embed node.js
var nodeScript string

// node is the real socket-ipc: server and clients in a process each.
type node struct{ server, client *nodepeer.Peer }

func startNode(ctx context.Context, dir string, clients int) (system, error) {
	modules, err := nodepeer.Install(ctx, nodepeer.SocketIPC.Package)
	if err != nil {
		return nil, err
	}
	path := filepath.Join(dir, "node")
	server, err := nodepeer.Start(ctx, modules, nodeScript, "server", path)
	if err != nil {
		return nil, err
	}
	n := &node{server: server}
	if _, err := await(server, "listening"); err != nil {
		n.stop()
		return nil, err
	}
	if n.client, err = nodepeer.Start(ctx, modules, nodeScript, "client", path); err == nil {
		if err = n.client.Do(nodepeer.Command{Do: "connect", Count: clients}); err == nil {
			_, err = await(n.client, "connected")
		}
	}
	if err != nil {
		n.stop()
		return nil, err
	}
	return n, nil
}

func await(p *nodepeer.Peer, name string) (nodepeer.Event, error) {
	e, err := p.Next()
	if err == nil && e.Event != name {
		err = fmt.Errorf("%v instead of %s", e, name)
	}
	return e, err
}

func (n *node) run(l load) (tally, error) {
	data, err := json.Marshal(map[string]any{"ack": l.Ack, "size": l.Size, "count": l.Count, "ms": l.Duration.Milliseconds()})
	if err != nil {
		return tally{}, err
	}
	var t tally
	if err := n.client.Do(nodepeer.Command{Do: "run", Data: data}); err != nil {
		return t, err
	}
	e, err := await(n.client, "done")
	if err != nil {
		return t, err
	}
	return t, json.Unmarshal(e.Data, &t)
}

func (n *node) cpu() (time.Duration, error) {
	total := time.Duration(0)
	for _, p := range []*nodepeer.Peer{n.server, n.client} {
		if err := p.Do(nodepeer.Command{Do: "cpu"}); err != nil {
			return 0, err
		}
		e, err := await(p, "cpu")
		if err != nil {
			return 0, err
		}
		var us int64
		if err := json.Unmarshal(e.Data, &us); err != nil {
			return 0, err
		}
		total += time.Duration(us) * time.Microsecond
	}
	return total, nil
}

func (n *node) stop() {
	for _, p := range []*nodepeer.Peer{n.client, n.server} {
		if p != nil {
			_ = p.Stop()
		}
	}
}
