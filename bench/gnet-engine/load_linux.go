package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/heddle-go/heddle/bench/internal/child"
	"github.com/heddle-go/heddle/bench/internal/stack"
)

// A message to the server is eight bytes at least, of which the first says what
// is wanted: itself, a download, or frames from goroutines, as many as the last
// four bytes say, big endian, for each goroutine.
const (
	opEcho     = 'e'
	opDownload = 'd'
	opFrames   = 'f'

	echoSize     = 64      // bytes
	downloadSize = 1 << 20 // bytes
	frameSize    = 140     // bytes
	senders      = 64      // goroutines
	framesEach   = 200     // of each goroutine, for one message
)

// A workload is one thing to measure.
type workload struct {
	Name    string // with the unit that is counted
	network string
	conns   int
	request []byte
	reply   []byte
	units   int // in one reply
}

func workloads() []workload {
	echo := append([]byte{opEcho}, bytes.Repeat([]byte{'.'}, echoSize-1)...)
	frames := binary.BigEndian.AppendUint32([]byte{opFrames, 0, 0, 0}, framesEach)
	return []workload{
		{"echo of 64 B, 64 connections, unix; message", "unix", 64, echo, echo, 1},
		{"echo of 64 B, 64 connections, tcp; message", "tcp", 64, echo, echo, 1},
		{"download of 1 MiB, 8 connections, tcp; MiB", "tcp", 8, []byte{opDownload, 0, 0, 0, 0, 0, 0, 0}, download(), 1},
		{"140 B each from 64 goroutines, 1 connection, unix; frame", "unix", 1, frames, bytes.Repeat(frame(), senders*framesEach), senders * framesEach},
	}
}

func download() []byte {
	p := make([]byte, downloadSize)
	for i := range p {
		p[i] = byte(i % 251)
	}
	return p
}

func frame() []byte { return bytes.Repeat([]byte{opFrames}, frameSize) }

// serveLoad is main in a server: it serves args' network and address, and tells
// its CPU time.
func serveLoad(name, network, addr string) error {
	large, small := download(), frame()
	err := sides[name]().serve(network, addr, callbacks{bytes: func(c conn, p []byte) int {
		var err error
		switch p[0] {
		case opEcho:
			err = c.send(p)
		case opDownload:
			err = c.send(large)
		case opFrames:
			each := binary.BigEndian.Uint32(p[4:8])
			for range senders {
				go func() { // ends after so many frames
					for range each {
						c.sendSoon(small)
					}
				}()
			}
		}
		if err != nil {
			c.close()
		}
		return len(p)
	}})
	if err != nil {
		return err
	}
	return child.Serve(func(json.RawMessage) (any, error) { return child.CPU(), nil })
}

// A cost is what a workload takes of the server, and how fast it was served.
type cost struct {
	CPU  float64 // µs of the server for each unit
	Rate float64 // units per second
}

// A comparison is the medians of both sides.
type comparison struct {
	Workload   string
	Gnet, Loop cost
	Ratio      float64 // CPU, ours to gnet's
}

// compare loads both sides in turns, each in a process of its own.
func compare(ctx context.Context, rounds int, d time.Duration) ([]comparison, error) {
	dir, err := os.MkdirTemp("", "heddle-bench")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	var all []comparison
	for i, w := range workloads() {
		var got [2][]cost
		var servers [2]*child.Child
		var addrs [2]string
		for k, name := range []string{"gnet", "loop"} {
			addrs[k] = filepath.Join(dir, fmt.Sprint(name, i))
			if w.network == "tcp" {
				if addrs[k], err = stack.FreeAddr(); err != nil {
					return nil, err
				}
			}
			if servers[k], err = child.Start(ctx, "server", name, w.network, addrs[k]); err != nil {
				return nil, err
			}
			defer servers[k].Stop()
			var ready time.Duration
			if err := servers[k].Ask("cpu", &ready); err != nil {
				return nil, err
			}
		}
		for round := range rounds + 1 {
			for k := range servers {
				k = (k + round) % 2 // neither is always first
				length := d
				if round == 0 {
					length = min(d/4, 300*time.Millisecond) // to warm up
				}
				c, err := w.load(servers[k], addrs[k], length)
				if err != nil {
					return nil, fmt.Errorf("%s: %w", w.Name, err)
				}
				if round > 0 {
					got[k] = append(got[k], c)
				}
			}
		}
		c := comparison{Workload: w.Name, Gnet: median(got[0]), Loop: median(got[1])}
		c.Ratio = c.Loop.CPU / c.Gnet.CPU
		all = append(all, c)
	}
	return all, nil
}

// load asks on all connections, one question at a time on each, for d.
func (w workload) load(server *child.Child, addr string, d time.Duration) (cost, error) {
	conns := make([]net.Conn, w.conns)
	for i := range conns {
		nc, err := net.Dial(w.network, addr)
		if err != nil {
			return cost{}, err
		}
		defer nc.Close()
		_ = nc.SetDeadline(time.Now().Add(d + 10*time.Second)) // a lost reply must not be waited for for ever
		conns[i] = nc
	}
	var before, after time.Duration
	if err := server.Ask("cpu", &before); err != nil {
		return cost{}, err
	}
	start := time.Now()
	counts, errs := make([]int, len(conns)), make([]error, len(conns))
	var wg sync.WaitGroup
	for i, nc := range conns {
		wg.Go(func() { // ends with the reply that comes after d, or an error
			buf := make([]byte, min(len(w.reply), 128<<10))
			for time.Since(start) < d && errs[i] == nil {
				if _, errs[i] = nc.Write(w.request); errs[i] == nil {
					errs[i] = expect(nc, w.reply, buf)
					counts[i]++
				}
			}
		})
	}
	wg.Wait()
	took := time.Since(start)
	if err := errors.Join(errs...); err != nil {
		return cost{}, err
	}
	if err := server.Ask("cpu", &after); err != nil {
		return cost{}, err
	}
	units := 0.0
	for _, n := range counts {
		units += float64(n * w.units)
	}
	return cost{float64(after-before) / float64(time.Microsecond) / units, units / took.Seconds()}, nil
}

var errReply = errors.New("a reply is not what was wanted")

// expect reads what must be want.
func expect(r io.Reader, want, buf []byte) error {
	for len(want) > 0 {
		n, err := r.Read(buf[:min(len(buf), len(want))])
		if !bytes.Equal(buf[:n], want[:n]) {
			return errReply
		}
		if want = want[n:]; err != nil && len(want) > 0 {
			return err
		}
	}
	return nil
}
