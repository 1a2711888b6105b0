package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/codec"
	"github.com/heddle-go/heddle/service/servicetest"
)

// proxied is a cloud with an app, and heddle proxy before it.
func proxied(t *testing.T, d heddle.Dialect, args ...string) (p *child, begun, goOn chan struct{}) {
	t.Helper()
	cloud := servicetest.New(t, d, servicetest.Options{Unix: true})
	begun, goOn = make(chan struct{}, 8), make(chan struct{})
	answer := func(c *servicetest.Call, body string) {
		p, err := c.Piece()
		var h heddle.RequestHead
		if err == nil {
			err = codec.DecodeRequestHead(&h, []byte(p))
		}
		if body = fmt.Sprintf("%s %s %v", h.URI, body, err); d == heddle.V0 {
			body = string(codec.AppendRawString(nil, body))
		}
		_ = c.Write("\x92\xcc\xc8\x90") // 200, without fields
		_ = c.Write(body)
	}
	cloud.App("shop", map[string]func(*servicetest.Call){
		"http": func(c *servicetest.Call) { answer(c, "at once") },
		"slow": func(c *servicetest.Call) {
			begun <- struct{}{}
			select {
			case <-goOn:
				answer(c, "late")
			case <-c.Context().Done():
			}
		},
	})
	args = append([]string{"proxy", "--listen", "127.0.0.1:0", "--locator", cloud.Endpoint()}, args...)
	p, err := start(exec.Command("heddle", args...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.kill)
	return p, begun, goOn
}

func fetch(t *testing.T, url string) (code int, body string) {
	t.Helper()
	c := http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := c.Get(url)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	p, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err.Error()
	}
	return resp.StatusCode, string(p)
}

// The command serves a cloud's apps, and a signal lets it finish what has begun.
func TestProxy(t *testing.T) {
	for _, d := range []heddle.Dialect{heddle.V0, heddle.V1} {
		for _, dialect := range []string{"--dialect=", "--dialect=" + d.String()} {
			p, begun, goOn := proxied(t, d, "--loops=2", dialect)
			url := p.await(t, `^ready (\S+)$`)[1]
			if code, body := fetch(t, url+"/shop/http/a"); code != 200 || body != "/a at once <nil>" {
				t.Errorf("got %d %q", code, body)
			}
			if code, body := fetch(t, url+"/none/http/"); code != 503 {
				t.Errorf("got %d %q", code, body)
			}
			if !until(func() bool { code, _ := fetch(t, url+"/ping"); return code == 200 }) {
				t.Error("no pong")
			}
			done := make(chan string, 1)
			go func() { // ends with the answer
				_, body := fetch(t, url+"/shop/slow/")
				done <- body
			}()
			<-begun
			_ = p.cmd.Process.Signal(syscall.SIGTERM)
			p.await(t, "^draining: ")
			close(goOn)
			if body := <-done; body != "/ late <nil>" {
				t.Errorf("the request that had begun got %q", body)
			}
			<-p.done
			if code := p.cmd.ProcessState.ExitCode(); code != 0 {
				t.Errorf("exit code %d: %s", code, p.said.String())
			}
			p.await(t, "^stopped: every request taken was answered$")
		}
	}
}

// What does not finish in time is cut off, and the exit code says so; a second
// signal does it at once.
func TestProxyCutOff(t *testing.T) {
	for _, test := range []struct {
		drain string
		twice bool
		code  int
	}{{"200ms", false, exitTimeout}, {"1m", true, exitError}} {
		p, begun, _ := proxied(t, heddle.V1, "--drain-timeout", test.drain)
		url := p.await(t, `^ready (\S+)$`)[1]
		done := make(chan int, 1)
		go func() { // ends with the connection
			code, _ := fetch(t, url+"/shop/slow/")
			done <- code
		}()
		<-begun
		_ = p.cmd.Process.Signal(syscall.SIGINT)
		p.await(t, "^draining: ")
		if test.twice {
			time.Sleep(2 * sameSignal) // or it would be the same one
			_ = p.cmd.Process.Signal(syscall.SIGINT)
		}
		<-p.done
		if code := p.cmd.ProcessState.ExitCode(); code != test.code || !strings.Contains(p.said.String(), "1 request cut off") {
			t.Errorf("exit code %d, want %d: %s", code, test.code, p.said.String())
		}
		if code := <-done; code == 200 {
			t.Error("the request was answered")
		}
	}
}

// With --json every line is one.
func TestProxyJSON(t *testing.T) {
	p, _, _ := proxied(t, heddle.V1, "--json")
	p.await(t, `"event":"ready"`)
	_ = p.cmd.Process.Signal(syscall.SIGINT)
	<-p.done
	for line := range strings.Lines(p.said.String()) {
		var v struct{ Msg string }
		if err := json.Unmarshal([]byte(line), &v); err != nil || v.Msg == "" {
			t.Errorf("%q: %v", line, err)
		}
	}
}

// The pages of --admin tell what was answered for which app, and whether a locator
// is there.
func TestProxyAdmin(t *testing.T) {
	p, _, _ := proxied(t, heddle.V1, "--admin", "127.0.0.1:0", "--json-rpc")
	pages := p.await(t, `^admin (\S+)$`)[1]
	url := p.await(t, `^ready (\S+)$`)[1]
	for range 3 {
		if code, body := fetch(t, url+"/shop/http/"); code != 200 {
			t.Errorf("got %d %q", code, body)
		}
	}
	fetch(t, url+"/none/http/")
	rpc(t, url, `{"jsonrpc":"2.0","method":"none.info","params":[],"id":1}`)
	rpc(t, url, `{}`)
	ready := func() bool { code, _ := fetch(t, pages+"/readyz"); return code == 200 }
	if !until(ready) {
		t.Error("it is not ready")
	}
	_, body := fetch(t, pages+"/metrics")
	for _, want := range []string{
		`heddle_requests_total{app="shop",code="200",method="GET",release=""} 3`,
		`heddle_requests_total{app="",code="503",method="GET",release=""} 1`,
		`heddle_proxy_locator_up 1`,
		`heddle_proxy_resolves_total{answer="found"} 1`,
		`heddle_proxy_resolves_total{answer="unknown"} 1`,
		`heddle_proxy_connections 1`,
		`heddle_proxy_json_rpc_total{outcome="error"} 1`,
		`heddle_proxy_json_rpc_total{outcome="invalid"} 1`,
	} {
		if !strings.Contains(body, "\n"+want+"\n") {
			t.Errorf("%s is not in %s", want, body)
		}
	}
	t.Run("promtool", func(t *testing.T) { checkMetrics(t, body) })
}

// rpc makes a JSON-RPC call.
func rpc(t *testing.T, url, body string) {
	t.Helper()
	req, err := http.NewRequest("POST", url+"/", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Cocaine-JSON-RPC", "1")
	tr := &http.Transport{}
	defer tr.CloseIdleConnections()
	resp, err := tr.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
}

// What cannot be meant is refused before anything is started.
func TestProxyRefuses(t *testing.T) {
	for _, test := range []struct {
		args string
		code int
		want string
	}{
		{"extra", exitUsage, "takes no arguments"},
		{"--locator nowhere", exitUsage, "--locator nowhere: want host:port"},
		{"--locator :10053", exitUsage, "want host:port"},
		{"--locator=", exitUsage, "--locator"},
		{"--dialect v2", exitUsage, "want v0 or v1"},
		{"--timeout -1s", exitUsage, "--timeout -1s"},
		{"--connect-timeout 0s", exitUsage, "--connect-timeout 0s"},
		{"--loops 0", exitUsage, "--loops 0"},
		{"--listen nonsense", exitUsage, "--listen nonsense"},
		{"--max-headers 0", exitUsage, "try: heddle proxy --help"},
		{"--listen fd:none", exitError, "no socket of that name"},
		{"--listen 127.0.0.1:0 --tls-cert /nothing --tls-key /nothing", exitError, "try: heddle proxy --tls-cert"},
	} {
		out, err := exec.Command("heddle", append([]string{"proxy"}, strings.Fields(test.args)...)...).CombinedOutput()
		if code := exitOf(err); code != test.code || !strings.Contains(string(out), test.want) {
			t.Errorf("%s: exit code %d, %s; want %d, %q", test.args, code, out, test.code, test.want)
		}
	}
}
