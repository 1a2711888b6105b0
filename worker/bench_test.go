package worker

import (
	"fmt"
	"testing"

	"github.com/heddle-go/heddle/session"
)

// BenchmarkHandover is what it costs to give a session to a goroutine and to
// hear that it has served: parked ones beside new ones.
func BenchmarkHandover(b *testing.B) {
	served := make(chan struct{}, 64)
	serve := func(*session.Session) {
		deep(8) // about the 8 KiB of stack that a net/http handler takes
		served <- struct{}{}
	}
	s := new(session.Session)
	for _, burst := range []int{1, 64} {
		b.Run(fmt.Sprintf("parked/burst=%d", burst), func(b *testing.B) {
			o, err := Options{}.withDefaults()
			if err != nil {
				b.Fatal(err)
			}
			p := newPool(&o, serve, func() {})
			defer p.close()
			b.ReportAllocs()
			for n := 0; n < b.N; n += burst {
				for range burst {
					p.start(s)
				}
				for range burst {
					<-served
				}
			}
		})
		b.Run(fmt.Sprintf("go/burst=%d", burst), func(b *testing.B) {
			b.ReportAllocs()
			for n := 0; n < b.N; n += burst {
				for range burst {
					go serve(s) // ends at once
				}
				for range burst {
					<-served
				}
			}
		})
	}
}

// deep uses n KiB of stack.
//
//go:noinline
func deep(n int) byte {
	var frame [1 << 10]byte
	if n > 0 {
		frame[n] = deep(n - 1)
	}
	return frame[n]
}

// TestHandoverAllocates nothing once goroutines are parked.
func TestHandoverAllocates(t *testing.T) {
	o, err := Options{}.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan struct{})
	p := newPool(&o, func(*session.Session) { served <- struct{}{} }, func() {})
	defer p.close()
	s := new(session.Session)
	got := testing.AllocsPerRun(1000, func() {
		p.start(s)
		<-served
	})
	if got != 0 {
		t.Errorf("got %v allocations per session, want 0", got)
	}
}
