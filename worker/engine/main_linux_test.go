package engine

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/heddle-go/heddle/loop"
	"github.com/heddle-go/heddle/session"
	"go.uber.org/goleak"
)

// envPlay makes the test binary play a worker, or something that is none.
const envPlay = "ENGINE_TEST_PLAY"

func TestMain(m *testing.M) {
	if play := os.Getenv(envPlay); play != "" {
		playWorker(play)
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

// playWorker is the real process behind the tests with sockets. play is one of
// mini's misbehaviours, "good", or a way not to be a worker at all.
func playWorker(play string) {
	switch play {
	case "exit":
		fmt.Println("on standard output")
		fmt.Fprintln(os.Stderr, "first words")
		fmt.Fprint(os.Stderr, "last words") // no line end
		os.Exit(4)
	case "warms": // never online, with company in its group
		if err := exec.Command("sleep", "60").Start(); err != nil {
			panic(err)
		}
		time.Sleep(time.Minute)
		os.Exit(0)
	case "sleep":
		ignore()
		time.Sleep(time.Minute)
		os.Exit(0)
	case "exits", "exits-slowly": // serves, and ends after a while
		d := 300 * time.Millisecond
		if play == "exits-slowly" {
			d = 1200 * time.Millisecond
		}
		time.AfterFunc(d, func() { os.Exit(5) })
		play = "good"
	case "deaf": // stubborn, and catches every signal that can be caught
		caught := make(chan os.Signal, 4)
		signal.Notify(caught, syscall.SIGTERM, syscall.SIGQUIT)
		go func() { // ends with the process
			for s := range caught {
				fmt.Fprintln(os.Stderr, "caught", s)
			}
		}()
		play = badStubborn
	case "where": // serves, and says where it is
		dir, err := os.Readlink("/proc/self/cwd")
		fmt.Fprintln(os.Stderr, "in", dir, err)
		play = "good"
	case "second-opens":
		play = "good"
		if launchEnv(envIndex) == "1" {
			play = badOpener
		}
	case "engine":
		playEngine()
		return
	case "plain-chain":
		playChain()
	case "plain-engine":
		playPlainEngine()
	case "reach":
		playReach()
		return
	case "plain-link", "plain-listen", "plain-port", "plain-six", "plain-socket", "plain-rubbish", "plain-attach", "plain-way", "plain-not-yet", "plain-deep", "plain-talk":
		playPlain(play)
	case "worker":
		playRealWorker()
		return
	case "talk":
		playTalk()
		return
	case "foreign":
		playForeign()
		return
	case "clinger":
		playClinger()
		return
	case "good":
	}
	if play == "good" {
		play = ""
	}
	l, err := loop.New(loop.Options{})
	if err != nil {
		panic(err)
	}
	w := &mini{uuid: launchEnv(envUUID), bad: play, beat: 100 * time.Millisecond, exit: os.Exit, spawn: func(f func()) { go f() }}
	w.dial = func(endpoint string, make func(session.Link) loop.Handler) error {
		_, err := l.Dial("unix", strings.TrimPrefix(endpoint, "unix:"), func(c *loop.Conn) loop.Handler { return make(c) }, loop.DialOptions{})
		return err
	}
	term := make(chan os.Signal, 1)
	signal.Notify(term, syscall.SIGTERM)
	go func() { // ends with the process
		for range term {
			if play != badStubborn {
				w.leave()
			}
		}
	}()
	if play == badStubborn {
		// Somebody who holds its pipes, in its group.
		c := exec.Command("sleep", "60")
		c.Stdout, c.Stderr = os.Stdout, os.Stderr
		if err := c.Start(); err != nil {
			panic(err)
		}
	}
	if err := w.connect(launchEnv(envEndpoint), 0); err != nil {
		panic(err)
	}
	if err := l.Run(); err != nil {
		panic(err)
	}
}

// launchEnv is a variable as it was when the process started: package worker,
// which this binary links too, takes the engine's out of the environment.
func launchEnv(key string) string {
	b, err := os.ReadFile("/proc/self/environ")
	if err != nil {
		panic(err)
	}
	return lookup(strings.Split(string(b), "\x00"), key)
}

// ignore makes the process deaf to SIGTERM.
func ignore() { signal.Ignore(syscall.SIGTERM, syscall.SIGINT) }

// grandchild starts a process that outlives the worker and tells its pid: arg
// is "group" for one in the worker's group, "session" for one of its own,
// "brief" for the latter when it ends at once.
func grandchild(s *session.Session, arg string) {
	c := exec.Command("sleep", "60")
	if arg == "brief" {
		c = exec.Command("sleep", "0.2")
	}
	c.Stdout, c.Stderr = os.Stdout, os.Stderr // it holds the pipes
	if arg != "group" {
		c.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	}
	if err := c.Start(); err != nil {
		s.Abort(err)
		return
	}
	_ = s.WriteChunk(fmt.Append(nil, c.Process.Pid))
}

// rawDial connects to an engine's lane as anybody could.
func rawDial(t *testing.T, e *Engine, lane int) net.Conn {
	t.Helper()
	c, err := net.Dial("unix", strings.TrimPrefix(e.lanes[lane].endpoint, "unix:"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}
