package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// top shows samples until somebody has seen enough.
func top(parent context.Context, control *controlFlags, given controlFlags, interval time.Duration, first statusReply) error {
	s, err := openScreen()
	if err != nil {
		return fmt.Errorf("top: %w", err)
	}
	defer s.close()
	sigs := make(chan os.Signal, 8)
	signal.Notify(sigs, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGWINCH, syscall.SIGTSTP, syscall.SIGCONT)
	defer signal.Stop(sigs)
	if err := s.enter(); err != nil {
		return fmt.Errorf("top: %w", err)
	}
	defer s.leave()

	ctx, cancel := context.WithCancel(parent)
	now, samples := make(chan struct{}, 1), make(chan sample)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	wg.Go(func() { takeSamples(ctx, control, interval, now, samples) }) // ends with ctx

	v := &topView{colour: os.Getenv("NO_COLOR") == "", control: given}
	v.add(sample{at: time.Now(), st: first})
	for {
		v.width, v.height = s.size()
		s.draw(v.lines())
		select {
		case got := <-samples:
			v.add(got)
		case key := <-s.keys:
			switch key {
			case 'q', 'Q', '\x1b', 3: // 3: Ctrl-C, were it not a signal
				return nil
			case ' ':
				select {
				case now <- struct{}{}:
				default:
				}
			}
		case sig := <-sigs:
			switch sig {
			case syscall.SIGWINCH:
			case syscall.SIGTSTP:
				s.leave()
				// What the terminal sent us we do to ourselves, the screen given back.
				_ = syscall.Kill(os.Getpid(), syscall.SIGSTOP)
			case syscall.SIGCONT:
				if err := s.enter(); err != nil {
					return fmt.Errorf("top: %w", err)
				}
			default:
				return nil
			}
		case <-ctx.Done():
			return nil
		}
	}
}

// takeSamples asks the daemon, every interval and when now says so, until ctx
// ends.
func takeSamples(ctx context.Context, control *controlFlags, interval time.Duration, now <-chan struct{}, samples chan<- sample) {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-now:
		case <-ctx.Done():
			return
		}
		st, err := currentStatus(ctx, control)
		select {
		case samples <- sample{time.Now(), st, err}:
		case <-ctx.Done():
			return
		}
	}
}

// A screen is the terminal, taken for a while.
type screen struct {
	tty   *os.File // opened anew, so that what we make of it is not the shell's
	keys  chan byte
	ended chan struct{} // closed by close
	read  sync.WaitGroup

	before *unix.Termios // nil: not taken
}

// What a terminal understands: xterm's alternate screen, and DECTCEM.
const (
	screenOn  = "\x1b[?1049h\x1b[?25l" + clearScreen
	screenOff = "\x1b[?25h\x1b[?1049l"
	lineEnd   = "\x1b[K\r\n" // EL
)

func openScreen() (*screen, error) {
	tty, err := os.OpenFile("/dev/tty", os.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	s := &screen{tty: tty, keys: make(chan byte), ended: make(chan struct{})}
	s.read.Go(func() { // ends with close
		b := make([]byte, 64)
		for {
			n, err := tty.Read(b)
			if err != nil {
				return
			}
			for i, key := range b[:n] {
				if key == '\x1b' && n > 1 && i+1 < n {
					break // an arrow, or the like
				}
				select {
				case s.keys <- key:
				case <-s.ended:
					return
				}
			}
		}
	})
	return s, nil
}

func (s *screen) close() {
	close(s.ended)
	_ = s.tty.Close() // ends the read
	s.read.Wait()
}

// control runs f with the descriptor.
func (s *screen) control(f func(fd int) error) error {
	rc, err := s.tty.SyscallConn()
	if err != nil {
		return err
	}
	var ferr error
	if err := rc.Control(func(fd uintptr) { ferr = f(int(fd)) }); err != nil {
		return err
	}
	return ferr
}

// enter takes the terminal: keys come one by one and are not shown.
func (s *screen) enter() error {
	if s.before != nil {
		return nil
	}
	err := s.control(func(fd int) error {
		before, err := unix.IoctlGetTermios(fd, unix.TCGETS)
		if err != nil {
			return os.NewSyscallError("tcgetattr", err)
		}
		raw := *before
		raw.Lflag &^= unix.ICANON | unix.ECHO // signals stay signals, termios(3)
		raw.Cc[unix.VMIN], raw.Cc[unix.VTIME] = 1, 0
		if err := unix.IoctlSetTermios(fd, unix.TCSETSW, &raw); err != nil {
			return os.NewSyscallError("tcsetattr", err)
		}
		s.before = before
		return nil
	})
	if err == nil {
		_, err = s.tty.WriteString(screenOn)
	}
	return err
}

// leave gives it back as it was.
func (s *screen) leave() {
	if s.before == nil {
		return
	}
	_, _ = s.tty.WriteString(screenOff) // on a terminal that is gone nothing is to be seen
	_ = s.control(func(fd int) error { return unix.IoctlSetTermios(fd, unix.TCSETSW, s.before) })
	s.before = nil
}

// size is the terminal's, in cells; 0 where it does not say.
func (s *screen) size() (width, height int) {
	_ = s.control(func(fd int) error {
		ws, err := unix.IoctlGetWinsize(fd, unix.TIOCGWINSZ)
		if err == nil {
			width, height = int(ws.Col), int(ws.Row)
		}
		return err
	})
	return width, height
}

// draw writes the lines in one go; what was there before is overwritten, not
// cleared first, so that nothing flickers.
func (s *screen) draw(lines []string) {
	if s.before == nil {
		return
	}
	// The last line has no end: it would scroll.
	_, _ = s.tty.WriteString("\x1b[H" + strings.Join(lines, lineEnd) + "\x1b[K\x1b[J")
}
