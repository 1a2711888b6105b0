package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/heddle-go/heddle/bench/internal/pattern"
	"github.com/heddle-go/heddle/bench/internal/stack"
)

// A workload is what clients ask for.
type workload struct {
	key   string // for -workloads
	name  string
	conns int
	path  string
	lua   string   // script for wrk
	flags []string // more flags for wrk
	body  []byte   // to be posted; for the check, the script has its own
	want  func(r io.Reader) error

	by loader
}

// A loader makes the load.
type loader int

const (
	byWrk    loader = iota
	byHeads         // our own: wrk waits for the body that HEAD does not have
	byFanOut        // our own: wrk waits for the stream's end
	byH2load        // HTTP/2 in clear, by prior knowledge
)

// program is what must be there for it.
func (l loader) program() string {
	switch l {
	case byWrk:
		return "wrk"
	case byH2load:
		return "h2load"
	}
	return ""
}

const (
	kib64 = 64 << 10
	mib10 = 10 << 20
)

// The large bodies have few connections: what the last requests of a load have
// moved when it ends is paid for and not counted.
var workloads = []workload{
	{key: "get-1", name: "GET, 14 bytes, 1 connection", conns: 1, want: hello},
	{key: "get-64", name: "GET, 14 bytes, 64", conns: 64, want: hello},
	{key: "get-512", name: "GET, 14 bytes, 512", conns: 512, want: hello},
	{key: "browser", name: "GET, browser's 12 header fields, 64", conns: 64, flags: browser, want: hello},
	{key: "pipeline", name: "GET, 14 bytes, 64, 16 pipelined", conns: 64, lua: pipelined, want: hello},
	{key: "head", name: "HEAD, 64", conns: 64, want: hello, by: byHeads},
	{key: "h2", name: "GET, 14 bytes, 64, HTTP/2", conns: 64, want: hello, by: byH2load},
	{key: "echo", name: "POST, 1 KiB JSON echoed, 64", conns: 64, path: "echo", lua: posted("application/json", json1k), body: []byte(json1k), want: exactly(json1k)},
	{key: "down-64k", name: "GET, 64 KiB, 64", conns: 64, path: fmt.Sprintf("download?n=%d", kib64), want: patterned(kib64)},
	{key: "down-10m", name: "GET, 10 MiB, 4", conns: 4, path: fmt.Sprintf("download?n=%d", mib10), want: patterned(mib10)},
	{key: "up-10m", name: "POST, 10 MiB, 4", conns: 4, path: fmt.Sprintf("upload?n=%d", mib10), lua: uploaded, body: repeated(mib10), want: exactly(fmt.Sprintln(mib10))},
	{key: "sse", name: "SSE, each event to 1,000", conns: 1000, path: "events?every=50ms", by: byFanOut},
}

// browser makes twelve fields, with the Host that wrk adds.
var browser = headers(
	"Connection: keep-alive",
	`sec-ch-ua: "Chromium";v="130", "Not?A_Brand";v="99"`,
	"sec-ch-ua-mobile: ?0",
	`sec-ch-ua-platform: "Linux"`,
	"User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Safari/537.36",
	"Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8",
	"Sec-Fetch-Site: same-origin",
	"Sec-Fetch-Mode: navigate",
	"Accept-Encoding: gzip, deflate, br, zstd",
	"Accept-Language: en-GB,en;q=0.9",
	"Cookie: session=7f1d4c1b9a8e4f5f8c0e6f0a2d3b4c5d; theme=dark",
)

func headers(lines ...string) []string {
	var flags []string
	for _, l := range lines {
		flags = append(flags, "-H", l)
	}
	return flags
}

// json1k is 1 KiB.
var json1k = `{"text":"` + strings.Repeat("abcdefghijklmnop", 63) + `abcde"}`

const pipelined = `
init = function(args)
	local r = {}
	for i = 1, 16 do r[i] = wrk.format() end
	all = table.concat(r)
end
request = function() return all end
`

// uploaded builds the body in Lua, once.
var uploaded = posted("application/octet-stream", "") + fmt.Sprintf("wrk.body = string.rep('0123456789abcdef', %d)\n", mib10/16)

func posted(contentType, body string) string {
	return fmt.Sprintf("wrk.method = 'POST'\nwrk.headers['Content-Type'] = '%s'\nwrk.body = '%s'\n", contentType, body)
}

func repeated(n int) []byte {
	return bytes.Repeat(pattern.Block, n/len(pattern.Block)+1)[:n:n]
}

func hello(r io.Reader) error { return exactly("Hello, heddle\n")(r) }

func exactly(want string) func(io.Reader) error {
	return func(r io.Reader) error {
		got, err := io.ReadAll(r)
		if err == nil && string(got) != want {
			err = fmt.Errorf("%d bytes came, %.40q, not %.40q", len(got), got, want)
		}
		return err
	}
}

func patterned(n int64) func(io.Reader) error {
	return func(r io.Reader) error { return pattern.Check(r, n) }
}

// check makes one request and looks at every byte of the answer: what is
// measured ought to be right.
func (w workload) check(ctx context.Context, s *stack.Stack) error {
	if w.by == byFanOut {
		return nil // every event is looked at
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	method := "GET"
	if w.body != nil {
		method = "POST"
	}
	req, err := http.NewRequestWithContext(ctx, method, s.URL+w.path, bytes.NewReader(w.body))
	if err != nil {
		return err
	}
	req.Close = true
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s %s: the answer is %s", method, w.path, resp.Status)
	}
	if err := w.want(resp.Body); err != nil {
		return fmt.Errorf("%s %s: %w", method, w.path, err)
	}
	return nil
}

// sample loads s for d.
func (w workload) sample(ctx context.Context, s *stack.Stack, dir string, d time.Duration) (stack.Sample, error) {
	switch w.by {
	case byFanOut:
		return fanOut(ctx, s, w.path, w.conns, d)
	case byHeads:
		return s.Sample(func() (stack.Load, error) { return heads(ctx, s, w.conns, d) })
	case byH2load:
		return s.Sample(func() (stack.Load, error) { return h2load(ctx, s.URL+w.path, w.conns, d, dir) })
	}
	flags := append([]string{"--timeout", "10s"}, w.flags...)
	if w.lua != "" {
		script := filepath.Join(dir, w.key+".lua")
		if err := os.WriteFile(script, []byte(w.lua), 0o600); err != nil {
			return stack.Sample{}, err
		}
		flags = append(flags, "-s", script)
	}
	return s.Sample(func() (stack.Load, error) { return stack.Wrk(ctx, s.URL+w.path, w.conns, d, flags...) })
}
