package service_test

import (
	"encoding/hex"
	"io"
	"net"
	"testing"
	"time"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/service"
)

// TestLoggerSendsAsCaptured compares what is sent with bytes that real clients have
// sent to real runtimes: session 1 asks for the verbosity, 2 and 3
// are entries.
func TestLoggerSendsAsCaptured(t *testing.T) {
	for _, c := range []struct {
		name    string
		dialect heddle.Dialect
		prefix  string
		log     func(l *service.Logger)
		want    []string
	}{
		{"framework for Node.js 0.4", heddle.V0, "nodetest", func(l *service.Logger) {
			l.Error("err")
			l.Debug("dbg")
		}, []string{"9300029301ac6170702f6e6f646574657374a3657272", "9300039304ac6170702f6e6f646574657374a3646267"}},
		{"framework for Node.js 0.12", heddle.V1, "jstest", func(l *service.Logger) {
			l.Info("hello x", "k", "v")
			l.Errorf("%s", "plain")
		}, []string{"9302009401aa6170702f6a7374657374a768656c6c6f20789192a16ba176", "9303009303aa6170702f6a7374657374a5706c61696e"}},
		{"probe of 0.11", heddle.V0, "test", func(l *service.Logger) {
			l.Error("hello from probe")
			l.Debug("debug from probe")
		}, []string{"9300029301a86170702f74657374b068656c6c6f2066726f6d2070726f6265", "9300039304a86170702f74657374b064656275672066726f6d2070726f6265"}},
		{"probe of 0.12", heddle.V1, "test", func(l *service.Logger) {
			l.Info("hello from probe")
			l.Error("err from probe", "k", "v", "n", 5, "f", 1.5, "b", true)
		}, []string{
			"9302009301a86170702f74657374b068656c6c6f2066726f6d2070726f6265",
			"9303009403a86170702f74657374ae6572722066726f6d2070726f62659492a16ba17692a16e0592a166cb3ff800000000000092a162c3",
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer ln.Close()
			o := service.LoggerOptions{Endpoints: []string{ln.Addr().String()}, Dialect: service.DialectV1}
			answer := "9301009100" // [1, value, [0]]
			if c.dialect == heddle.V0 {
				o.Dialect = service.DialectV0
				answer = "93040191a104" + "93060190" // chunk of 4, choke
			}
			l, err := service.NewLogger(c.prefix, o)
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			nc, err := ln.Accept()
			if err != nil {
				t.Fatal(err)
			}
			defer nc.Close()
			if err := nc.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
				t.Fatal(err)
			}
			read := func(want string) {
				t.Helper()
				p := make([]byte, len(want)/2)
				n, err := io.ReadFull(nc, p)
				if got := hex.EncodeToString(p[:n]); err != nil || got != want {
					t.Fatalf("got  %s, %v\nwant %s", got, err, want)
				}
			}
			read("93010190") // verbosity, in either dialect
			p, err := hex.DecodeString(answer)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := nc.Write(p); err != nil {
				t.Fatal(err)
			}
			eventually(t, t.Context(), "the verbosity", func() bool { return l.Enabled(-4) })
			c.log(l)
			for _, want := range c.want {
				read(want)
			}
		})
	}
}
