// Cloudapp is a locator and one app, on loops of one process, for measuring what
// stands before them: its event "http" answers every request with 200 and a body
// of -size bytes, and costs as little as a service of ours can.
//
//	go run ./bench/cloudapp -dialect v1 -locator 127.0.0.1:10053
//	heddle proxy --locator 127.0.0.1:10053
//	wrk -t1 -c64 http://127.0.0.1:8080/app/http/
package main

import (
	"flag"
	"fmt"
	"log"
	"net"
	"os"
	"os/signal"
	"strings"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/codec"
	"github.com/heddle-go/heddle/loop"
	"github.com/heddle-go/heddle/service/locator"
	"github.com/heddle-go/heddle/session"
)

func main() {
	at := flag.String("locator", "127.0.0.1:10053", "where the locator listens")
	dialect := flag.String("dialect", "v1", "v0 or v1")
	size := flag.Int("size", 14, "bytes of an answer's body")
	flag.Parse()
	d := heddle.V1
	if *dialect == "v0" {
		d = heddle.V0
	}
	l, err := loop.New(loop.Options{})
	if err != nil {
		log.Fatal(err)
	}
	app, err := serve(l, "127.0.0.1:0", d, newApp(d, *size))
	if err != nil {
		log.Fatal(err)
	}
	host, port, err := net.SplitHostPort(app.Addr().String())
	if err != nil {
		log.Fatal(err)
	}
	e, err := locator.ParseEndpoint(net.JoinHostPort(host, port))
	if err != nil {
		log.Fatal(err)
	}
	where, err := newLocator(d, e)
	if err != nil {
		log.Fatal(err)
	}
	ln, err := serve(l, *at, d, where)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("ready", ln.Addr())
	quit := make(chan os.Signal, 1)
	signal.Notify(quit, os.Interrupt)
	go func() { // ends the program
		<-quit
		l.Close()
	}()
	if err := l.Run(); err != nil {
		log.Fatal(err)
	}
}

// A server answers the calls of one service. It is the Handler of all of them.
type server struct {
	method *session.Method
	answer func(s *session.Session)
	whole  bool // the answer comes when the caller's direction has ended
}

// serve answers on every connection.
func serve(l *loop.Loop, addr string, d heddle.Dialect, v *server) (*loop.Listener, error) {
	network := "tcp"
	if path, ok := strings.CutPrefix(addr, "unix:"); ok {
		network, addr = "unix", path
	}
	return l.Listen(network, addr, func(c *loop.Conn) loop.Handler {
		return session.NewMux(c, session.Options{
			ChannelOptions: session.ChannelOptions{Dialect: d, Service: true},
			Methods: func(id uint64) *session.Method {
				if id != v.method.ID {
					return nil
				}
				return v.method
			},
			Accept: func(s *session.Session) error {
				s.SetHandler(v)
				if !v.whole {
					v.answer(s)
				}
				return nil
			},
		})
	}, loop.ListenOptions{})
}

func (v *server) OnMessage(*session.Session, session.Message) {}
func (v *server) OnWritable(*session.Session)                 {}

// OnEnd answers, and gives the session back.
func (v *server) OnEnd(s *session.Session, err error) {
	if v.whole && err == nil {
		v.answer(s)
	}
	s.Release()
}

// newLocator knows one name: app.
func newLocator(d heddle.Dialect, e locator.Endpoint) (*server, error) {
	enqueue := &session.Method{ID: 0, Name: "enqueue", Dispatch: session.Streaming, Upstream: session.Streaming}
	p, err := locator.Append(nil, d, &locator.Info{Endpoints: []locator.Endpoint{e}, Version: 1, Methods: []*session.Method{enqueue}})
	if err != nil {
		return nil, err
	}
	args := p
	if d == heddle.V0 {
		args = append([]byte{0x91}, p...)
	}
	return &server{method: locator.Resolve, answer: func(s *session.Session) {
		if strings.Contains(string(s.Args()), "app") {
			_ = s.Say(0, args) // fails if nobody is there
			return
		}
		s.Abort(&session.Error{Category: 10, Code: 1, Msg: "service is not available"})
	}}, nil
}

// newApp answers every event.
func newApp(d heddle.Dialect, size int) *server {
	head := codec.AppendRawString(codec.AppendRawString([]byte{0x92, 0xcc, 0xc8, 0x91, 0x92}, "Content-Length"), fmt.Sprint(size))
	body := make([]byte, size)
	for i := range body {
		body[i] = 'x'
	}
	dispatch := session.Streaming
	if d == heddle.V0 {
		body, dispatch = codec.AppendRaw(nil, body), session.Mute
	}
	return &server{
		method: &session.Method{ID: 0, Name: "enqueue", Dispatch: dispatch, Upstream: session.Streaming},
		whole:  true,
		answer: func(s *session.Session) { // fails if nobody is there
			_ = s.WriteChunk(head)
			_ = s.WriteChunk(body)
			_ = s.Close()
		},
	}
}
