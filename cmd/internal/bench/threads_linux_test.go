package bench

import (
	"bufio"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"
)

// TestThreads: several loops send what one would, with ids that are no two requests',
// and report as one.
func TestThreads(t *testing.T) {
	for _, tt := range []struct {
		name string
		o    Options
		want uint64
	}{
		{"closed, counted", Options{Count: 1001, Duration: time.Minute}, 1001},
		{"closed, fewer than threads", Options{Count: 2, Duration: time.Minute}, 2},
		{"open, counted", Options{Count: 301, Pace: mustPace(t, "1m:2000", true, 1)}, 301},
		{"open", Options{Pace: mustPace(t, "500ms:1000,500ms:0", false, 0)}, 500}, // a busy machine has time for the last ones
		{"open, fewer than threads", Options{Count: 1, Pace: mustPace(t, "1m:1000", false, 0)}, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var mu sync.Mutex
			ids := make(map[string]bool)
			addr := serve(t, "tcp", "127.0.0.1:0", func(c net.Conn) {
				answerer(c, func(_ int, id string) (string, bool) {
					mu.Lock()
					defer mu.Unlock()
					if ids[id] || len(id) != idLen {
						t.Errorf("id %q came twice", id)
					}
					ids[id] = true
					return ok(id), true
				})
			})
			o := tt.o
			o.Threads, o.Conns, o.Interval, o.Timeout = 3, 8, 20*time.Millisecond, 30*time.Second
			var told []Interval
			o.OnInterval = func(i Interval) { told = append(told, i) }
			r := run(t, addr, o)
			mu.Lock()
			defer mu.Unlock()
			if r.Requests != tt.want || r.Answered != tt.want || len(ids) != int(tt.want) || r.Errors+r.Duplicated+r.Stray+r.Unsent != 0 || r.Connected != 8 {
				t.Errorf("got %+v, the server %d; want %d", r.Counts, len(ids), tt.want)
			}
			if r.Model.Threads != 3 || r.Model.Conns != 8 || r.Latency.Count != tt.want || r.Own.Sent != tt.want {
				t.Errorf("got %+v, %d latencies, %+v", r.Model, r.Latency.Count, r.Own)
			}
			if len(r.Own.Loops) != 3 || r.Own.Loops[0].Sent+r.Own.Loops[1].Sent+r.Own.Loops[2].Sent != tt.want {
				t.Errorf("got %+v; want three loops that sent %d", r.Own.Loops, tt.want)
			}
			if tt.want > 2 && (r.Own.CPU <= 0 || r.Own.CPU > 4*3*(r.Measured+time.Second)) {
				t.Errorf("got %v of CPU in %v", r.Own.CPU, r.Measured)
			}
			var sum Interval
			for n, i := range r.Intervals {
				if i.Start != time.Duration(n)*o.Interval {
					t.Errorf("interval %d begins at %v", n, i.Start)
				}
				sum.Requests += i.Requests
				sum.Answers += i.Answers
				sum.Latency.Count += i.Latency.Count
			}
			if sum.Requests != tt.want || sum.Answers != tt.want || sum.Latency.Count != tt.want || len(told) != len(r.Intervals) {
				t.Errorf("the intervals have %d sent, %d answered, %d latencies; told of %d of %d", sum.Requests, sum.Answers, sum.Latency.Count, len(told), len(r.Intervals))
			}
		})
	}
}

// TestManyIntervals: parts that have to wait are packed, and lose nothing.
func TestManyIntervals(t *testing.T) {
	addr := serve(t, "tcp", "127.0.0.1:0", func(c net.Conn) {
		answerer(c, func(_ int, id string) (string, bool) { return ok(id), true })
	})
	slow := true
	r := run(t, addr, Options{Threads: 2, Conns: 2, Duration: 300 * time.Millisecond, Interval: time.Millisecond, OnInterval: func(Interval) {
		if slow {
			slow = false
			time.Sleep(100 * time.Millisecond) // as a terminal may; parts of more intervals come than may wait
		}
	}})
	var latencies uint64
	for _, i := range r.Intervals {
		latencies += i.Latency.Count
	}
	if latencies != r.Answered || r.Answered == 0 {
		t.Errorf("the intervals have %d latencies of %d answers", latencies, r.Answered)
	}
}

// TestAcrossThreads: answers that come on a connection of another loop than their
// requests are stray, or duplicates if they have been answered.
func TestAcrossThreads(t *testing.T) {
	for _, answered := range []bool{false, true} {
		first := make(chan string, 1)
		addr := serve(t, "tcp", "127.0.0.1:0", func(c net.Conn) {
			answerer(c, func(_ int, id string) (string, bool) {
				if id[len(id)-1] == '0' { // the first request of the first loop
					if !answered {
						first <- id
						return "", true
					}
					_, _ = io.WriteString(c, ok(id))
					first <- id
					return "", true
				}
				select {
				case of := <-first:
					return ok(of) + ok(id), true
				case <-t.Context().Done():
					return "", false
				}
			})
		})
		r := run(t, addr, Options{Threads: 2, Conns: 2, Pace: mustPace(t, "100ms:20", false, 0), Timeout: 2 * time.Second})
		want := Counts{Requests: 2, Answered: 1, Lost: 1, Stray: 1}
		if answered {
			want = Counts{Requests: 2, Answered: 2, Duplicated: 1}
		}
		got := Counts{Requests: r.Requests, Answered: r.Answered, Lost: r.Lost, Stray: r.Stray, Duplicated: r.Duplicated}
		if got.Requests != want.Requests || got.Answered != want.Answered || got.Lost != want.Lost || got.Stray != want.Stray || got.Duplicated != want.Duplicated {
			t.Errorf("answered %v: got %+v, want %+v", answered, got, want)
		}
	}
}

// TestRealLedger: a server that answers, drops, duplicates, resets, hangs up and
// answers late, as it draws, and keeps a ledger. The report has to say the same.
func TestRealLedger(t *testing.T) {
	const timeout = 2 * time.Second
	for _, threads := range []int{1, 3} {
		t.Run(map[int]string{1: "one loop", 3: "three loops"}[threads], func(t *testing.T) {
			t.Parallel()
			var mu sync.Mutex
			var want Counts
			kinds := map[string]uint64{}
			rnd := rand.New(rand.NewPCG(uint64(threads), 0))
			draw := func() (what int) {
				mu.Lock()
				defer mu.Unlock()
				want.Requests++
				switch what = rnd.IntN(8); what {
				default:
					want.Answered++
				case 1, 2, 3, 6:
					want.Lost++
					kinds[[]string{1: "timeout", 2: "reset", 3: "closed", 6: "truncated"}[what]]++
				case 4:
					want.Answered++
					want.Duplicated += 2
				case 5:
					want.Late++
					kinds["timeout"]++
				}
				return what
			}
			addr := serve(t, "tcp", "127.0.0.1:0", func(c net.Conn) {
				answerer(c, func(_ int, id string) (string, bool) {
					switch draw() {
					case 1:
						return "", true
					case 2:
						_ = c.(*net.TCPConn).SetLinger(0)
						return "", false
					case 3:
						return "", false
					case 4:
						return ok(id) + ok(id) + ok(id), true
					case 5:
						time.Sleep(timeout * 3 / 2)
					case 6:
						return "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", false
					}
					return ok(id), true
				})
			})
			// Behind the last request there is time for what comes late.
			r := run(t, addr, Options{Threads: threads, Conns: 100, Timeout: timeout, Pace: mustPace(t, "1s:400,4s:0", true, 3)})
			mu.Lock()
			defer mu.Unlock()
			for _, kind := range []string{"timeout", "reset", "closed", "truncated"} {
				if r.Kinds[kind] != kinds[kind] {
					t.Errorf("%d errors of kind %s, want %d", r.Kinds[kind], kind, kinds[kind])
				}
			}
			got := Counts{Requests: r.Requests, Answered: r.Answered, Late: r.Late, Lost: r.Lost, Duplicated: r.Duplicated}
			if got.Requests != want.Requests || got.Answered != want.Answered || got.Late != want.Late || got.Lost != want.Lost || got.Duplicated != want.Duplicated ||
				r.Stray+r.Reordered+r.Unsent+r.Unfinished != 0 {
				t.Errorf("got %+v, want %+v", r.Counts, want)
			}
		})
	}
}

// TestRealOrder: each connection's requests are answered in fours, in the order 2, 0, 1,
// 3, with an answer in the middle twice.
func TestRealOrder(t *testing.T) {
	addr := serve(t, "tcp", "127.0.0.1:0", func(c net.Conn) {
		br := bufio.NewReader(c)
		for {
			var ids [4]string
			for i := range ids {
				r, err := http.ReadRequest(br)
				if err != nil {
					return
				}
				ids[i] = r.Header.Get("X-Request-Id")
			}
			if _, err := io.WriteString(c, ok(ids[2])+ok(ids[0])+ok(ids[0])+ok(ids[1])+ok(ids[3])); err != nil {
				return
			}
		}
	})
	// In the open model each connection gets four, all at once, and no more.
	const conns = 6
	p := mustPace(t, "1ms:24000,1s:0", false, 0)
	r := run(t, addr, Options{Threads: 3, Conns: conns, Pipeline: 4, Pace: p, Timeout: 10 * time.Second})
	if r.Requests != 4*conns || r.Answered != 4*conns || r.Reordered != conns || r.Duplicated != conns || r.Lost+r.Stray+r.Errors != 0 {
		t.Errorf("got %+v, want %d answered, %d reordered, %d duplicated", r.Counts, 4*conns, conns, conns)
	}
}
