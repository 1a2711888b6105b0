//go:build linux

package host

import (
	"context"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"testing"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/codec"
	"github.com/heddle-go/heddle/httpcompat"
	"github.com/heddle-go/heddle/loop"
	"github.com/heddle-go/heddle/worker/engine"
)

const envProgram = "HOST_TEST_PROGRAM"

// runProgram is program, if this is to be one.
func runProgram() bool {
	if os.Getenv(envProgram) == "" {
		return false
	}
	program()
	return true
}

// program is what this test binary is instead when envProgram is set: an app.
func program() {
	log.Fatal(httpcompat.ListenAndServe("127.0.0.1:0", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("X-Said", r.URL.Path)
		fmt.Fprintf(w, "%s ", r.Method)
		_ = http.NewResponseController(w).Flush()
		_, _ = w.Write(body)
	})))
}

// answerHead is a plain response head: no more than Cocaine's clients read.
type answerHead struct {
	_       struct{} `msg:",tuple"`
	Code    int
	Headers [][]string
}

// TestEngine calls an app of a real engine, whose workers are real processes of
// either kind, as Cocaine's HTTP proxies do.
func TestEngine(t *testing.T) {
	for _, d := range []engine.Dialect{engine.DialectHeddle, engine.DialectV0, engine.DialectV1} {
		t.Run("workers of "+string(d), func(t *testing.T) {
			loops := []*loop.Loop{newLoop(t), newLoop(t)}
			e, err := engine.New(engine.Options{Path: os.Args[0], Env: []string{envProgram + "=1"}, Workers: len(loops), On: loops, Dialect: d, Logger: slog.New(slog.DiscardHandler)})
			must(t, err)
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			defer cancel()
			must(t, e.Start(ctx))
			defer e.Close()
			c, err := Start(Options{Locator: "127.0.0.1:0", Loops: loops})
			must(t, err)
			defer c.Close(ctx)
			must(t, c.AddApp(App{Name: "app", Opener: e, HTTP: "http"}))

			body := strings.Repeat("body", 20_000) // more than one chunk
			request := packed(t, []any{"POST", "/some/path", "1.1", []any{[]any{"Host", "x"}, []any{"Content-Length", fmt.Sprint(len(body))}}, body})
			check := func(head string, rest string) {
				t.Helper()
				var h answerHead
				if codec.ArgCount([]byte(head)) != 2 {
					t.Errorf("head %q is not of two", head)
				}
				unpack(t, head, &h)
				if h.Code != 200 || !strings.Contains(fmt.Sprint(h.Headers), "[X-Said /some/path]") || rest != "POST "+body {
					t.Errorf("got %v, %.40q of %d bytes", h, rest, len(rest))
				}
			}
			for range 3 { // connections are dealt to both loops
				if d == engine.DialectV0 {
					break
				}
				p := to(t, c, "app", heddle.V1)
				p.call(1, 0, "http")
				p.call(1, 0, request)
				p.call(1, close1)
				p.chunks(1)
			}
			if d != engine.DialectV0 { // whose workers' bodies are for clients of v0
				p := to(t, c, "app", heddle.V1)
				p.call(1, 0, "http")
				p.call(1, 0, request)
				p.call(1, close1)
				chunks := p.chunks(1)
				check(chunks[0], strings.Join(chunks[1:], ""))
			}
			if d != engine.DialectV1 {
				v0 := to(t, c, "app", heddle.V0)
				v0.call(1, 0, "http", request)
				chunks := v0.chunks(1)
				var rest strings.Builder
				for _, chunk := range chunks[1:] {
					var piece string
					unpack(t, chunk, &piece)
					rest.WriteString(piece)
				}
				check(chunks[0], rest.String())
			}
			if _, dialect := to(t, c, "app", heddle.V1), d; dialect == engine.DialectHeddle {
				p := to(t, c, "app", heddle.V1)
				p.call(1, 0, "nobody's event")
				p.call(1, close1)
				var answer []any
				p.args(1, error1, &answer)
				if got := fmt.Sprint(answer[0]); got != "[42 200]" {
					t.Errorf("got %v", answer)
				}
			}
			must(t, e.Shutdown(ctx))
			p := to(t, c, "app", heddle.V1)
			p.call(1, 0, "http")
			p.want(1, error1, []any{12, 32}, "the application has been stopped: Broken pipe")
		})
	}
}

// chunks reads a stream to its end.
func (p *peer) chunks(session uint64) (all []string) {
	p.t.Helper()
	for {
		f, raw, err := p.next()
		if err != nil || f.Session != session {
			p.t.Fatalf("got %v, %.80q", err, raw)
		}
		switch id := f.Type; {
		case p.d == heddle.V1 && id == close1, p.d == heddle.V0 && id == choke0:
			return all
		case p.d == heddle.V1 && id == write1, p.d == heddle.V0 && id == chunk0:
			var chunk []string
			unpack(p.t, string(f.Args), &chunk)
			all = append(all, chunk[0])
		default:
			p.t.Fatalf("got %.200q", raw)
		}
	}
}
