package engine

import (
	"fmt"
	"net"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/codec"
)

// envForeign is what a foreign worker does wrong, or differently.
const envForeign = "ENGINE_TEST_FOREIGN"

// What a foreign worker may do.
const (
	foreignEchoes = "echoes" // terminate, and exits with 1, as PY11 does
	foreignDeaf   = "deaf"   // to terminate, as the node workers are
	foreignStays  = "stays"  // answers terminate and waits to be killed, as NA12 does
	foreignMute   = "mute"   // no heartbeat
	foreignOnce   = "once"   // one heartbeat
	foreignOther  = "other"  // greets in the other dialect
	foreignNobody = "nobody" // greets with another uuid
)

// A foreignWorker is a program that knows nothing of Heddle: it says what frames
// of raw bytes a Cocaine worker says, and each of the slips that real ones make.
type foreignWorker struct {
	d    heddle.Dialect
	does string
	conn net.Conn
	beat time.Duration

	mu sync.Mutex
}

// playForeign is the process.
func playForeign() {
	line, err := os.ReadFile("/proc/self/cmdline") // package worker, which this binary links too, takes them out of os.Args
	if err != nil {
		panic(err)
	}
	args := strings.Split(strings.TrimSuffix(string(line), "\x00"), "\x00")[1:]
	value := func(name string) string {
		i := slices.Index(args, name)
		if i < 0 || i+1 == len(args) {
			return ""
		}
		return args[i+1]
	}
	for _, kv := range os.Environ() {
		if strings.HasPrefix(kv, "HEDDLE_") {
			fmt.Fprintln(os.Stderr, "it was told", kv)
			os.Exit(9)
		}
	}
	fmt.Fprintf(os.Stderr, "args %q\n", args)
	w := &foreignWorker{d: heddle.V0, does: os.Getenv(envForeign), beat: 100 * time.Millisecond}
	if value("--protocol") == "1" {
		w.d = heddle.V1
	}
	if w.conn, err = net.Dial("unix", value("--endpoint")); err != nil {
		panic(err)
	}
	uuid, d := value("--uuid"), w.d
	switch w.does {
	case foreignOther:
		d = heddle.V1 - d
	case foreignNobody:
		uuid = "nobody"
	case foreignDeaf:
		term := make(chan os.Signal, 1)
		signal.Notify(term, syscall.SIGTERM)
		go func() { // ends with the process
			<-term
			os.Exit(143)
		}()
	}
	w.say(codec.AppendHandshake(nil, d, uuid, nil))
	go w.beats() // ends with the process
	if err := w.listen(); err != nil && w.does != foreignDeaf && w.does != foreignOther {
		fmt.Fprintln(os.Stderr, "the engine has gone:", err)
		os.Exit(3)
	}
	select {}
}

func (w *foreignWorker) say(frame []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	_, _ = w.conn.Write(frame)
}

func (w *foreignWorker) beats() {
	for w.does != foreignMute {
		w.say([]byte{0x93, 1, 0, 0x90})
		if w.does == foreignOnce {
			return
		}
		time.Sleep(w.beat)
	}
}

// listen takes what the engine says, until that ends.
func (w *foreignWorker) listen() error {
	dec := codec.NewDecoder(w.d, codec.Limits{})
	var buf []byte
	sessions := make(map[uint64]*foreignSession)
	chunk := make([]byte, 64<<10)
	for {
		n, err := w.conn.Read(chunk)
		if err != nil {
			return err
		}
		buf = append(buf, chunk[:n]...)
		for {
			f, k, err := dec.Next(buf)
			if err == codec.ErrShort {
				break
			}
			if err != nil {
				return err
			}
			if err := w.take(&f, sessions); err != nil {
				return err
			}
			buf = buf[k:]
		}
	}
}

// A foreignSession is one that the engine has opened.
type foreignSession struct {
	id     uint64
	event  string
	chunks []string
}

// take is one message of the engine's.
func (w *foreignWorker) take(f *codec.Frame, sessions map[uint64]*foreignSession) error {
	typ := f.Type
	if w.d == heddle.V1 {
		switch {
		case f.Session == heddle.ControlChannel && f.Type == heddle.MsgTerminate:
			typ = heddle.TypeV0Terminate
		case f.Session == heddle.ControlChannel:
			typ = heddle.TypeV0Heartbeat
		case sessions[f.Session] == nil:
			if len(f.Headers) <= 1 {
				return fmt.Errorf("invoke without trace headers")
			}
			typ = heddle.TypeV0Invoke
		default:
			typ = heddle.TypeV0Chunk + f.Type
		}
	}
	switch typ {
	case heddle.TypeV0Terminate:
		fmt.Fprintf(os.Stderr, "terminate %x\n", f.Args)
		switch w.does {
		case foreignDeaf:
		case foreignEchoes, foreignStays:
			w.say(slices.Concat([]byte{0x93, map[heddle.Dialect]byte{heddle.V0: 2, heddle.V1: 1}[w.d], map[heddle.Dialect]byte{heddle.V0: 0, heddle.V1: 1}[w.d]}, f.Args))
			if w.does == foreignStays {
				return nil
			}
			os.Exit(1)
		default:
			os.Exit(0)
		}
	case heddle.TypeV0Invoke:
		var i heddle.Invoke
		if err := codec.DecodeArgs(&i, f.Args, 1); err != nil {
			return err
		}
		sessions[f.Session] = &foreignSession{id: f.Session, event: string(i.Event)}
	case heddle.TypeV0Chunk:
		var c heddle.Chunk
		if err := codec.DecodeArgs(&c, f.Args, 1); err != nil {
			return err
		}
		s := sessions[f.Session]
		s.chunks = append(s.chunks, string(c.Data))
	case heddle.TypeV0Choke:
		s := sessions[f.Session]
		if w.d == heddle.V0 {
			delete(sessions, f.Session)
		}
		go w.serve(s) // ends with the process, at the latest
	}
	return nil
}

// serve answers one session by its event.
func (w *foreignWorker) serve(s *foreignSession) {
	chunk := func(text string) []byte { return codec.AppendChunk(nil, w.d, s.id, []byte(text)) }
	choke := codec.AppendChoke(nil, w.d, s.id)
	failure := codec.AppendError(nil, w.d, s.id, heddle.CategoryFramework, 100, "it failed")
	event, arg, _ := strings.Cut(s.event, " ")
	switch event {
	case "echo":
		for _, c := range s.chunks {
			w.say(chunk(c))
		}
		w.say(choke)
	case "size":
		w.say(append(chunk(strconv.Itoa(len(s.chunks[0]))), choke...))
	case "pid":
		w.say(append(chunk(strconv.Itoa(os.Getpid())), choke...))
	case "slow":
		d, _ := time.ParseDuration(arg)
		time.Sleep(d)
		w.say(append(chunk("at last"), choke...))
	case "never":
	case "fail":
		w.say(failure) // and no choke, as JS4
	case "fail-choke":
		w.say(append(failure, choke...))
	case "late": // slips that the real runtime of v0 forgives, and that of v1 does not
		w.say(slices.Concat(chunk("first"), choke, chunk("late")))
	case "twice":
		w.say(slices.Concat(chunk("first"), choke, choke))
	case "int-error": // [channel, 1, [5, "x"]]
		w.say([]byte{0x93, byte(s.id), 1, 0x92, 5, 0xa1, 'x'})
	case "unknown": // type 9 on a session that never was
		w.say(slices.Concat([]byte{0x93, 9, 0x70, 0x90}, chunk("first"), choke))
	case "invoke": // as if it were the engine: of a session that is open, and of one that never was
		w.say(slices.Concat(codec.AppendInvoke(nil, w.d, s.id, "echo", -1), codec.AppendInvoke(nil, w.d, 1<<20, "echo", -1), chunk("first"), choke))
	case "long-error":
		w.say(append(codec.AppendError(nil, w.d, s.id, 0, 1, strings.Repeat("no ", 100_000)), choke...))
	case "rubbish":
		w.say([]byte("GET / HTTP/1.1\r\n\r\n"))
	case "terminate":
		code, _ := strconv.Atoi(arg)
		w.say(codec.AppendTerminate(nil, w.d, int64(code), "had enough"))
		time.Sleep(50 * time.Millisecond)
		os.Exit(0)
	case "exit":
		os.Exit(5)
	}
}
