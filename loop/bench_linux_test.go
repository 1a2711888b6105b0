package loop

import (
	"fmt"
	"io"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// cpu returns the process's user and system time so far.
func cpu() time.Duration {
	var u unix.Rusage
	unix.Getrusage(unix.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkSend has goroutines send frames of 140 bytes on one connection, to a
// reader on the same loop.
func BenchmarkSend(b *testing.B) {
	for _, network := range networks {
		for _, senders := range []int{1, 8, 64} {
			b.Run(fmt.Sprintf("%s/G=%d", network, senders), func(b *testing.B) {
				l := runLoop(b, Options{})
				frame := make([]byte, 140)
				var got atomic.Int64
				done := make(chan struct{})
				want := int64(b.N) * int64(len(frame))
				ln := listen(b, l, network, func(c *Conn) Handler {
					return &handler{bytes: func(p []byte) (int, error) {
						if got.Add(int64(len(p))) == want {
							close(done)
						}
						return len(p), nil
					}}
				}, ListenOptions{})
				opened := make(chan struct{})
				c := dialLoop(b, l, ln, &handler{open: func() { close(opened) }})
				await(b, opened)
				b.ReportAllocs()
				b.ResetTimer()
				before, start := l.Stats(), cpu()
				var left atomic.Int64
				left.Store(int64(b.N))
				var wg sync.WaitGroup
				for range senders {
					wg.Go(func() {
						for left.Add(-1) >= 0 {
							for c.Queued() > 1<<20 { // as writers wait for room
								time.Sleep(20 * time.Microsecond)
							}
							c.Send(frame[:10], frame[10:])
						}
					})
				}
				wg.Wait()
				<-done
				b.StopTimer()
				used, after := cpu()-start, l.Stats()
				b.ReportMetric(float64(used.Nanoseconds())/float64(b.N), "cpu-ns/frame")
				b.ReportMetric(float64(b.N)/float64(after.Writes-before.Writes), "frames/write")
				b.ReportMetric(float64(b.N)/float64(max(after.Wakeups-before.Wakeups, 1)), "frames/wakeup")
			})
		}
	}
}

// BenchmarkEcho sends 148 bytes to and fro on many connections, both ends on one loop.
func BenchmarkEcho(b *testing.B) {
	for _, network := range networks {
		for _, conns := range []int{1, 64} {
			b.Run(fmt.Sprintf("%s/conns=%d", network, conns), func(b *testing.B) {
				l := runLoop(b, Options{})
				ln := listen(b, l, network, func(c *Conn) Handler {
					return &handler{bytes: func(p []byte) (int, error) { c.Send(p, nil); return len(p), nil }}
				}, ListenOptions{})
				msg := make([]byte, 148)
				var opened sync.WaitGroup
				opened.Add(conns)
				left := int64(b.N) // loop goroutine only
				done := make(chan struct{})
				var clients []*Conn
				for range conns {
					h := &handler{open: opened.Done}
					h.bytes = func(p []byte) (int, error) {
						if left--; left >= int64(conns) {
							h.c.Send(p, nil)
						} else if left == 0 {
							close(done)
						}
						return len(p), nil
					}
					clients = append(clients, dialLoop(b, l, ln, h))
				}
				opened.Wait()
				b.ReportAllocs()
				b.ResetTimer()
				before, start := l.Stats(), cpu()
				l.Do(func() {
					for i := range min(conns, b.N) {
						clients[i].Send(msg, nil)
					}
					if b.N < conns {
						left = int64(b.N)
					}
				})
				<-done
				b.StopTimer()
				used, after := cpu()-start, l.Stats()
				b.ReportMetric(float64(used.Nanoseconds())/float64(b.N), "cpu-ns/trip")
				calls := after.Reads + after.Writes + after.Wakeups - before.Reads - before.Writes - before.Wakeups
				b.ReportMetric(float64(calls)/float64(b.N), "calls/trip") // epoll_wait not counted
			})
		}
	}
}

// BenchmarkIdle reports the heap one idle connection needs on the accepting side.
func BenchmarkIdle(b *testing.B) {
	for _, network := range networks {
		b.Run(network, func(b *testing.B) {
			l := runLoop(b, Options{})
			const conns = 500
			opened := make(chan struct{}, conns)
			ln := listen(b, l, network, func(c *Conn) Handler {
				h := &handler{}
				h.bytes = func(p []byte) (int, error) { opened <- struct{}{}; return len(p), nil }
				h.eof = func() { c.Close(nil) }
				return h
			}, ListenOptions{})
			domain, sa := unix.AF_UNIX, unix.Sockaddr(&unix.SockaddrUnix{Name: ln.Addr().String()})
			if network == "tcp" {
				domain, sa = unix.AF_INET, &unix.SockaddrInet4{Port: ln.Addr().(*net.TCPAddr).Port, Addr: [4]byte{127, 0, 0, 1}}
			}
			for range b.N {
				b.StopTimer()
				heap := func() uint64 {
					runtime.GC()
					runtime.GC()
					var m runtime.MemStats
					runtime.ReadMemStats(&m)
					return m.HeapAlloc
				}
				before := heap()
				b.StartTimer()
				fds := make([]int, 0, conns)
				for range conns {
					fd, err := unix.Socket(domain, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
					if err != nil {
						b.Fatal(err)
					}
					if err := unix.Connect(fd, sa); err != nil {
						b.Fatal(err)
					}
					unix.Write(fd, []byte("x"))
					fds = append(fds, fd)
				}
				for range conns {
					await(b, opened)
				}
				b.StopTimer()
				b.ReportMetric(float64(heap()-before)/conns, "heap-B/conn")
				closeAll(fds)
				for l.Stats().Conns > 0 {
					time.Sleep(time.Millisecond)
				}
				b.StartTimer()
			}
		})
	}
}

// BenchmarkBulk streams frames of 32 KiB and reads them whole.
func BenchmarkBulk(b *testing.B) {
	for _, network := range networks {
		b.Run(network, func(b *testing.B) {
			const size = 32 << 10
			l := runLoop(b, Options{})
			var got int64
			done := make(chan struct{})
			h := &handler{}
			h.bytes = func(p []byte) (int, error) {
				n := len(p) / size * size
				if got += int64(n); got == int64(b.N)*size {
					close(done)
				}
				return n, nil
			}
			_, nc := acceptOne(b, l, network, h)
			nc.SetDeadline(time.Time{})
			b.SetBytes(size)
			b.ReportAllocs()
			b.ResetTimer()
			frame := make([]byte, size)
			for range b.N {
				nc.Write(frame)
			}
			<-done
		})
	}
}

func TestSendDoesNotAllocate(t *testing.T) {
	l := runLoop(t, Options{})
	c, nc := acceptOne(t, l, "unix", &handler{})
	go io.Copy(io.Discard, nc) // ends with the connection
	head, body := make([]byte, 10), make([]byte, 1000)
	n := testing.AllocsPerRun(2000, func() {
		for c.Queued() > 100_000 {
			runtime.Gosched()
		}
		c.Send(head, body)
		c.SendControl(head)
	})
	if n > 0 && !raceEnabled {
		t.Errorf("%v allocations per frame", n)
	}
}
