//go:build linux

package ipc

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/heddle-go/heddle/loop"
)

// cpu is what the process has used.
func cpu() time.Duration {
	var ru syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &ru) // never fails of self
	return time.Duration(ru.Utime.Nano() + ru.Stime.Nano())
}

// BenchmarkHub sends from 64 clients through one hub to 8 workers, each a
// connection of its own: a client's message goes to the hub, which passes it on
// ("relay"), or is handled by the hub itself ("hub"). cpu-ns/msg is of the whole
// process: both ends and, of a relay, what is between.
func BenchmarkHub(b *testing.B) {
	for _, size := range []int{128, 16 << 10} {
		for _, mode := range []string{"hub/oneway", "hub/acked", "relay/oneway"} {
			b.Run(fmt.Sprintf("%s/%d", mode, size), func(b *testing.B) { benchHub(b, mode, size) })
		}
	}
}

func benchHub(b *testing.B, mode string, size int) {
	const clients, workers = 64, 8
	ctx := context.Background()
	var got atomic.Int64
	newLoop := func() *loop.Loop {
		l, err := loop.New(loop.Options{})
		if err != nil {
			b.Fatal(err)
		}
		go l.Run() // ends when the loop is closed
		b.Cleanup(func() { l.Close() })
		return l
	}
	hub := NewHub(HubOptions{})
	s := NewServer(Options{Hub: hub})
	path := filepath.Join(b.TempDir(), "s")
	if err := s.Listen(newLoop(), path); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { s.Close(ctx) })
	here := newLoop()
	dial := func(h *Hub, kind string) *Peer {
		c, err := Dial(ctx, path, DialOptions{Loop: here, Hub: h, Kind: kind})
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { c.Close() })
		return c.Peer()
	}
	count := func(context.Context, *Received) error { got.Add(1); return nil }
	work := NewHub(HubOptions{})
	work.Default().Handle("work", count)
	for range workers {
		dial(work, "worker")
	}
	ws := hub.Peers()
	var turn atomic.Uint64
	hub.Default().Handle("work", count)
	hub.Default().Handle("relay", func(ctx context.Context, r *Received) error {
		return ws[turn.Add(1)%workers].Post(ctx, Message{Topic: "work", Body: Bytes(r.Payload)})
	})
	var ps []*Peer
	own := NewHub(HubOptions{})
	for range clients {
		ps = append(ps, dial(own, "client"))
	}
	payload := make([]byte, size)
	topic := "work"
	if mode == "relay/oneway" {
		topic = "relay"
	}
	b.SetBytes(int64(size))
	b.ReportAllocs()
	runtime.GC()
	begun := cpu()
	b.ResetTimer()
	var wg sync.WaitGroup
	for i, p := range ps {
		n := b.N / clients
		if i < b.N%clients {
			n++
		}
		wg.Go(func() {
			m := Message{Topic: topic, Body: Bytes(payload)}
			if mode != "hub/acked" {
				for range n {
					if err := p.Post(ctx, m); err != nil {
						b.Error(err)
						return
					}
				}
				return
			}
			acks := make([]*Ack, 0, 64)
			for k := range n {
				a, err := p.Send(ctx, m)
				if err != nil {
					b.Error(err)
					return
				}
				if acks = append(acks, a); len(acks) == cap(acks) || k == n-1 {
					for _, a := range acks {
						if _, err := a.Wait(ctx); err != nil {
							b.Error(err)
							return
						}
					}
					acks = acks[:0]
				}
			}
		})
	}
	wg.Wait()
	for got.Load() < int64(b.N) && !b.Failed() {
		time.Sleep(100 * time.Microsecond)
	}
	b.StopTimer()
	b.ReportMetric(float64(cpu()-begun)/float64(b.N), "cpu-ns/msg")
}

// BenchmarkPlainJSON is what the same messages cost with package net and
// encoding/json alone: lines of JSON from 64 clients to one server, unbuffered as
// they are sent.
func BenchmarkPlainJSON(b *testing.B) {
	const clients = 64
	type message struct {
		Topic string `json:"topic"`
		Data  []byte `json:"data"`
	}
	for _, size := range []int{128, 16 << 10} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			ln, err := net.Listen("unix", filepath.Join(b.TempDir(), "s"))
			if err != nil {
				b.Fatal(err)
			}
			var wg sync.WaitGroup
			wg.Go(func() {
				for range clients {
					c, err := ln.Accept()
					if err != nil {
						b.Error(err)
						return
					}
					wg.Go(func() {
						defer c.Close()
						for d := json.NewDecoder(c); ; {
							var m message
							if err := d.Decode(&m); err != nil {
								return // the client has closed
							}
						}
					})
				}
				ln.Close()
			})
			var conns []net.Conn
			for range clients {
				c, err := net.Dial("unix", ln.Addr().String())
				if err != nil {
					b.Fatal(err)
				}
				conns = append(conns, c)
			}
			payload := make([]byte, size)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			runtime.GC()
			begun := cpu()
			b.ResetTimer()
			for i, c := range conns {
				n := b.N / clients
				if i < b.N%clients {
					n++
				}
				wg.Go(func() {
					defer c.Close()
					for e := json.NewEncoder(c); n > 0; n-- {
						if err := e.Encode(message{"work", payload}); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			wg.Wait()
			b.StopTimer()
			b.ReportMetric(float64(cpu()-begun)/float64(b.N), "cpu-ns/msg")
		})
	}
}
