package gateway

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/service/servicetest"
)

// JSON-RPC calls any method of any service, and answers as Cocaine's proxies do.
func TestJSONRPC(t *testing.T) {
	each(t, func(t *testing.T, d heddle.Dialect, o servicetest.Options) {
		o.OnSlip = func(s servicetest.Slip) { t.Log(s) } // write without arguments is one
		cloud := servicetest.New(t, d, o)
		cloud.Store("things", "one", "the blob", "tag")
		sample := cloud.Sample("sample")
		cloud.App("shop.v1", nil)
		r := newRig(t, 1, Options{Locators: []string{cloud.Endpoint()}, JSONRPC: true, Timeout: 500 * time.Millisecond})
		type test struct {
			method, params, chunks string
			code                   int
			want                   string // the result as JSON, or text in the answer
		}
		tests := []test{
			{"storage.read", `["things","one"]`, "", 200, `"the blob"`},
			{"storage.find", `["things",["tag"]]`, "", 200, `["one"]`},
			{"storage.write", `["things","two","x",[]]`, "", 200, `null`},
			{"storage.read", `["things","none"]`, "", 500, "error"},
			{"sample.value", `["text"]`, "", 200, `"text"`},
			{"sample.value", `[{"a":[1,-2,3.5,true,null,18446744073709551615]}]`, "", 200, `{"a":[1,-2,3.5,true,null,18446744073709551615]}`},
			{"sample.fail", `[42,7,"a reason"]`, "", 500, "a reason"},
			{"sample.never", `[]`, "", 500, "error"},
			{"sample.none", `[]`, "", 400, "-32601"},
			{"none.value", `[]`, "", 500, "Service not found"},
			{"value", `[]`, "", 400, "-32601"},
			{".value", `[]`, "", 400, "-32601"},
			{"sample.", `[]`, "", 400, "-32601"},
			{strings.Repeat("n", 300) + ".value", `[]`, "", 400, "-32601"},
			{"sample.value", `{"a":1}`, "", 400, "-32602"},
			{"sample.value", `5`, "", 400, "-32602"},
		}
		if d == heddle.V1 {
			tests = append(tests,
				test{"sample.both", `[]`, `[["write",["a"]],["write",["b"]],["close",[]]]`, 200, `["a","b"]`},
				test{"sample.both", `[]`, `[["write",["a"]]]`, 200, `["a"]`},
				test{"sample.both", `[]`, "", 200, `[]`},
				test{"shop.v1.enqueue", `["echo"]`, `[["write",["x"]]]`, 200, `["x"]`},
				test{"sample.both", `[]`, `[["nothing",[]]]`, 500, "error"},
				test{"sample.both", `[]`, `[["write"]]`, 500, "error"},
				test{"sample.both", `[]`, `[[5,[]]]`, 400, "-32600"},
				test{"sample.both", `[]`, `["write"]`, 400, "-32600"},
				test{"sample.mute", `[1]`, "", 200, `null`},
				test{"sample.upload", `[]`, "", 200, `""`},
				test{"sample.levels", `[]`, "", 400, "-32000"},
			)
		}
		for _, test := range tests {
			body := fmt.Sprintf(`{"jsonrpc":"2.0","method":%q,"params":%s,"id":"me"`, test.method, test.params)
			if test.chunks != "" {
				body += `,"chunks":` + test.chunks
			}
			a := r.do(t, "POST", "/", body+"}", "X-Cocaine-JSON-RPC", "1", "Authorization", "token", "X-Request-Id", "00000000deadbeef")
			name := fmt.Sprintf("%.40s%s %s", test.method, test.params, test.chunks)
			if a.code != test.code || a.header.Get("Content-Type") != "application/json-rpc" || a.header.Get("X-Request-Id") != "00000000deadbeef" {
				t.Errorf("%s: got %d %q %v, want %d", name, a.code, a.body, a.header, test.code)
				continue
			}
			if test.code != 200 {
				if !json.Valid([]byte(a.body)) || !strings.Contains(a.body, test.want) || test.code == 500 && !strings.Contains(a.body, `"id":"me"`) {
					t.Errorf("%s: got %q, want %q", name, a.body, test.want)
				}
				continue
			}
			var got struct {
				Result any
				ID     string
			}
			var want any
			if err := json.Unmarshal([]byte(a.body), &got); err != nil || json.Unmarshal([]byte(test.want), &want) != nil {
				t.Errorf("%s: %q: %v", name, a.body, err)
			}
			if !reflect.DeepEqual(got.Result, want) || got.ID != "me" {
				t.Errorf("%s: got %s, want %s", name, a.body, test.want)
			}
		}
		if d == heddle.V1 {
			await(t, func() string {
				if sample.Counts().ByMethod["mute"] != 1 {
					return "the call without answer did not come"
				}
				return ""
			})
			found := false
			for _, h := range sample.Seen()[0].Headers {
				found = found || string(h.Name) == "authorization" && string(h.Value) == "token"
			}
			if !found {
				t.Errorf("headers: %v", sample.Seen()[0].Headers)
			}
		}
		for body, code := range map[string]string{
			``:                                     "-32700",
			`{`:                                    "-32700",
			`nonsense`:                             "-32700",
			`[]`:                                   "-32600",
			`{}`:                                   "-32600",
			`{"method":"sample.value"}`:            "-32600",
			`{"jsonrpc":"2.0","params":[],"id":1}`: "-32600",
			`{"jsonrpc":"2.0","method":5,"params":[],"id":1}`:                   "-32600",
			`{"jsonrpc":"2.0","method":"sample.value","params":[],"id":1} more`: "-32700",
			`{"jsonrpc":"2.0","method":"sample.value","id":1,"chunks":5}`:       "-32600",
			`{"jsonrpc":"2.0","method":"sample.value","params":[],"chunks":[]}`: "-32600",
			strings.Repeat("[", 20000) + strings.Repeat("]", 20000):             "-32700",
		} {
			a := r.do(t, "POST", "/", body, "X-Cocaine-JSON-RPC", "")
			if a.code != 400 || !strings.Contains(a.body, code) {
				t.Errorf("%.80q: got %d %q, want %s", body, a.code, a.body, code)
			}
		}
		if a := r.do(t, "POST", "/", strings.Repeat(" ", maxRPCBody+1), "X-Cocaine-JSON-RPC", "1"); a.code != 413 {
			t.Errorf("a long body: %d %q", a.code, a.body)
		}
		if log := r.log.String(); !strings.Contains(log, "a request is refused") || !strings.Contains(log, "JSON-RPC: ") {
			t.Errorf("no word of it in the log: %s", log)
		}
	})
}

// A result has an end, though the stream that it is of has none; and arguments may
// lie as deep in each other as nobody reads them.
func TestJSONRPCBounds(t *testing.T) {
	cloud := servicetest.New(t, heddle.V1, servicetest.Options{})
	piece := strings.Repeat("x", 1<<20)
	cloud.App("shop", map[string]func(*servicetest.Call){"flood": func(c *servicetest.Call) {
		for range maxRPCResult>>20 + 16 { // without a bound all of it would be the result
			if c.Write([]byte(piece)) != nil {
				return
			}
		}
		_ = c.Close() // an error: the caller has left
	}})
	cloud.Sample("sample")
	r := newRig(t, 1, Options{Locators: []string{cloud.Endpoint()}, JSONRPC: true})
	deep := strings.Repeat("[", 5000) + strings.Repeat("]", 5000)
	for _, test := range []struct{ call, want string }{
		{`"shop.enqueue","params":["flood"]`, "error"},
		{`"sample.value","params":` + deep, "error"},
	} {
		a := r.do(t, "POST", "/", `{"jsonrpc":"2.0","id":1,"method":`+test.call+`}`, "X-Cocaine-JSON-RPC", "1")
		if a.code != 500 || !strings.Contains(a.body, test.want) {
			t.Errorf("%.40s: got %d %.200q, want %q", test.call, a.code, a.body, test.want)
		}
	}
}

// Without JSONRPC the field means nothing.
func TestNoJSONRPC(t *testing.T) {
	cloud := servicetest.New(t, heddle.V1, servicetest.Options{})
	cloud.App("shop", map[string]func(*servicetest.Call){"http": echo})
	r := newRig(t, 1, Options{Locators: []string{cloud.Endpoint()}})
	body := `{"jsonrpc":"2.0","method":"storage.read","params":["a","b"],"id":1}`
	if a := r.do(t, "POST", "/", body, "X-Cocaine-JSON-RPC", "1"); a.code != 404 {
		t.Errorf("got %d %q", a.code, a.body)
	}
	if a := r.do(t, "POST", "/shop/http/", body, "X-Cocaine-JSON-RPC", "1"); a.code != 200 || !strings.HasSuffix(a.body, body) {
		t.Errorf("got %d %q", a.code, a.body)
	}
	if n := cloud.Service("storage").Counts().Accepted; n > 0 {
		t.Errorf("storage was called")
	}
}
