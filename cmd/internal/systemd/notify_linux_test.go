package systemd

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/heddle-go/heddle/loop"
)

// A manager stands in systemd's place.
func manager(t *testing.T, path string) *net.UnixConn {
	t.Helper()
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Net: "unixgram", Name: path})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// heard is the next message, or "" when there is none for d.
func heard(t *testing.T, c *net.UnixConn, d time.Duration) string {
	t.Helper()
	if err := c.SetReadDeadline(time.Now().Add(d)); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 4096)
	n, err := c.Read(b)
	if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatal(err)
	}
	return string(b[:n])
}

func TestNotify(t *testing.T) {
	for _, path := range []string{filepath.Join(t.TempDir(), "n"), "@heddle-notify-" + strconv.Itoa(os.Getpid())} {
		c := manager(t, path)
		m := &Manager{notify: path}
		for _, tt := range []struct {
			say  func() error
			want string
		}{
			{func() error { return m.Status("two\nlines\x1b") }, `^STATUS=two lines $`},
			{func() error { return m.Ready("r1 serves") }, `^READY=1\nSTATUS=r1 serves$`},
			{m.Reloading, `^RELOADING=1\nMONOTONIC_USEC=([0-9]+)$`},
			{func() error { return m.Stopping("draining", 90*time.Second) }, `^STOPPING=1\nSTATUS=draining\nEXTEND_TIMEOUT_USEC=90000000$`},
		} {
			if err := tt.say(); err != nil {
				t.Fatal(err)
			}
			got := heard(t, c, patience)
			found := regexp.MustCompile(tt.want).FindStringSubmatch(got)
			if found == nil {
				t.Fatalf("got %q, want %s", got, tt.want)
			}
			if len(found) == 2 {
				var ts unix.Timespec
				if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
					t.Fatal(err)
				}
				usec, _ := strconv.ParseInt(found[1], 10, 64)
				if now := ts.Nano() / 1000; usec > now || now-usec > int64(time.Minute/time.Microsecond) {
					t.Errorf("it said %d, the clock %d", usec, now)
				}
			}
		}
	}
}

// TestNotifyNobody: no manager, none that answers, and one that does not read.
func TestNotifyNobody(t *testing.T) {
	for _, m := range []*Manager{nil, {}} {
		if err := m.Ready("x"); err != nil || m.Listens() {
			t.Errorf("nobody there: %v", err)
		}
	}
	if err := (&Manager{notify: filepath.Join(t.TempDir(), "none")}).Ready("x"); err == nil {
		t.Error("no socket: no error")
	}
	path := filepath.Join(t.TempDir(), "full")
	manager(t, path)
	m := &Manager{notify: path}
	began := time.Now()
	for i := 0; ; i++ { // net.unix.max_dgram_qlen messages fit
		if err := m.Status("x"); err != nil {
			if !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("full: %v", err)
			}
			break
		}
		if i > 1e5 {
			t.Fatal("its queue never fills")
		}
	}
	if d := time.Since(began); d > 10*notifyPatience {
		t.Errorf("it took %v", d)
	}
}

// TestWatchdog: it is fed while all loops turn; not while one of them hangs; and
// again afterwards. One that has ended is nobody's worry.
func TestWatchdog(t *testing.T) {
	path := filepath.Join(t.TempDir(), "n")
	c := manager(t, path)
	var loops []*loop.Loop
	var turners []Turner
	for range 3 {
		l, err := loop.New(loop.Options{})
		if err != nil {
			t.Fatal(err)
		}
		ran := make(chan error, 1)
		go func() { ran <- l.Run() }() // ends with Close
		t.Cleanup(func() { l.Close(); <-ran })
		loops, turners = append(loops, l), append(turners, l)
	}
	const every = 200 * time.Millisecond
	m := &Manager{notify: path, Watchdog: 2 * every}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { m.FeedWatchdog(ctx, turners, func(err error) { t.Error(err) }) }) // ends with cancel
	defer wg.Wait()
	defer cancel()
	for range 3 {
		began := time.Now()
		if got := heard(t, c, patience); got != "WATCHDOG=1" {
			t.Fatalf("got %q", got)
		}
		if d := time.Since(began); d > 10*every {
			t.Errorf("fed only after %v", d)
		}
	}
	for i, l := range loops[:2] {
		hang, hangs := make(chan struct{}), make(chan struct{})
		if err := l.Do(func() { close(hangs); <-hang }); err != nil {
			t.Fatal(err)
		}
		<-hangs
		heard(t, c, every/2) // may have been on its way
		if got := heard(t, c, 4*every); got != "" {
			t.Errorf("loop %d hangs: got %q", i, got)
		}
		close(hang)
		if got := heard(t, c, patience); got != "WATCHDOG=1" {
			t.Errorf("loop %d turns again: got %q", i, got)
		}
	}
	loops[2].Close()
	for range 3 {
		if got := heard(t, c, patience); got != "WATCHDOG=1" {
			t.Errorf("with an ended loop: got %q", got)
		}
	}
}

// TestWatchdogNobody: it returns where nobody minds.
func TestWatchdogNobody(t *testing.T) {
	(&Manager{Watchdog: time.Second}).FeedWatchdog(context.Background(), nil, nil)
	(&Manager{notify: "/n"}).FeedWatchdog(context.Background(), nil, nil)
}
