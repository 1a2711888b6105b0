package nodepeer

import (
	"encoding/json"
	"fmt"
	"reflect"
	"runtime"
	"strings"
	"testing"
)

// burst is how many messages are sent in a row.
const burst = 1000

// A Client is one of ours, as a dialogue wants it.
type Client interface {
	Send(topic string, data json.RawMessage) error
	Receive() (topic string, data json.RawMessage, err error) // the next message
}

// peerClient is the real client as such.
type peerClient struct{ p *Peer }

func (c peerClient) Send(topic string, data json.RawMessage) error {
	return c.p.Do(Command{Do: "send", Topic: topic, Data: data})
}

func (c peerClient) Receive() (string, json.RawMessage, error) {
	for {
		e, err := c.p.Next()
		if err != nil || e.Event == "message" {
			return e.Topic, e.Data, err
		}
		if e.Event == "error" || e.Event == "disconnect" {
			return "", nil, fmt.Errorf("nodepeer: %v", e)
		}
	}
}

// TalkToServer has two real clients talk to the server on the socket at path, which behaves as System says.
func TalkToServer(t testing.TB, s System, path string) {
	t.Helper()
	var c [2]peerClient
	for i := range c {
		c[i].p = s.Client(t, path)
		Await(t, c[i].p, "connect")
	}
	talk(t, s, c[0], c[1])
	if err := c[0].p.Do(Command{Do: "send", Topic: "burst", Count: burst}); err != nil {
		t.Fatal(err)
	}
	for i := range burst {
		receive(t, c[0], "burst", fmt.Sprint(i))
	}
	for _, c := range c {
		if err := c.p.Do(Command{Do: "close"}); err != nil {
			t.Fatal(err)
		}
		Await(t, c.p, "close")
		if err := c.p.Stop(); err != nil {
			t.Error(err)
		}
	}
}

// TalkToClient has a real server, which it starts on the socket at path, talk to two clients of dial's.
func TalkToClient(t testing.TB, s System, path string, dial func(path string) Client) {
	t.Helper()
	server := s.Server(t, path)
	a := dial(path)
	first := Await(t, server, "connection").ID
	b := dial(path)
	Await(t, server, "connection")
	talk(t, s, a, b)
	for i := range burst {
		send(t, a, "burst", fmt.Sprint(i))
	}
	for i := range burst {
		receive(t, a, "burst", fmt.Sprint(i))
	}
	send(t, a, "tell", `{"x":1}`)
	if e := Await(t, server, "message"); e.ID != first || e.Topic != "tell" || !sameJSON(string(e.Data), `{"x":1}`) {
		t.Errorf("the server got %v, want tell of %s", e, first)
	}
	for _, c := range []Command{{Do: "send", To: first, Topic: "one", Data: json.RawMessage("1")}, {Do: "broadcast", Topic: "all", Data: json.RawMessage("2")}} {
		if err := server.Do(c); err != nil {
			t.Fatal(err)
		}
	}
	receive(t, a, "one", "1")
	receive(t, a, "all", "2")
	receive(t, b, "all", "2")
	if err := server.Do(Command{Do: "close"}); err != nil {
		t.Fatal(err)
	}
	for _, c := range []Client{a, b} {
		if topic, _, err := c.Receive(); err == nil {
			t.Errorf("got %q from a server that closed", topic)
		}
	}
	if err := server.Stop(); err != nil {
		t.Error(err)
	}
}

// Reconnect has a real client try before the server is there, and lose it in between. start starts the server
// on the socket at path and returns what stops it, with its connections.
func Reconnect(t testing.TB, s System, path string, start func() (stop func())) {
	t.Helper()
	c := peerClient{s.Client(t, path)}
	if s == SocketIPC {
		Await(t, c.p, "connectError")
	}
	stop := start()
	Await(t, c.p, "connect")
	for range 2 {
		send(t, c, "echo", "1")
		receive(t, c, "echo", "1")
		stop()
		Await(t, c.p, "disconnect")
		stop = start()
		Await(t, c.p, s.again)
	}
	send(t, c, "echo", "2")
	receive(t, c, "echo", "2")
	stop()
}

// ServerReturns has a real server killed and started again under a client of dial's, whose Receive fails once
// when the connection is lost, and which connects again by itself; its Send may fail until it has.
func ServerReturns(t testing.TB, s System, path string, dial func(path string) Client) {
	t.Helper()
	server := s.Server(t, path)
	c := dial(path)
	for range 2 {
		send(t, c, "echo", "1")
		receive(t, c, "echo", "1")
		_ = server.Kill()
		if topic, _, err := c.Receive(); err == nil {
			t.Fatalf("got %q of a dead server", topic)
		}
		server = s.Server(t, path)
		for c.Send("echo", json.RawMessage("2")) != nil { // until the client has noticed
			runtime.Gosched()
		}
		receive(t, c, "echo", "2")
	}
}

// talk is what both directions have in common.
func talk(t testing.TB, s System, a, b Client) {
	t.Helper()
	for _, data := range []string{"0", "false", "true", "-1.5e300", `"text"`, "[]", "{}", `"é😀\u0000\u0000\f\n\r\u2028\"\\"`, `{"a":[1,{"b":null}],"":""}`, "null", `""`,
		`"` + strings.Repeat("é", 200_000) + `"`} {
		want := data
		if s.noFalsy && (data == "null" || data == `""`) {
			want = "{}"
		}
		send(t, a, "echo", data)
		receive(t, a, "echo", want)
	}
	for _, topic := range []string{"", "é\n\f\x00", "message", "resume", "drain", "terminate", "online", "error", "connect", "disconnect", "close"} {
		if s.reserved && (topic == "" || topic == "error" || topic == "connect" || topic == "disconnect" || topic == "close") {
			continue
		}
		send(t, a, topic, "7")
		receive(t, a, topic, "7")
	}
	send(t, b, "echo", "1") // it is known to the server, too
	receive(t, b, "echo", "1")
	send(t, a, "shout", `{"to":"all"}`)
	receive(t, a, "shout", `{"to":"all"}`)
	receive(t, b, "shout", `{"to":"all"}`)
}

func send(t testing.TB, c Client, topic, data string) {
	t.Helper()
	if err := c.Send(topic, json.RawMessage(data)); err != nil {
		t.Fatalf("sending %q: %v", topic, err)
	}
}

func receive(t testing.TB, c Client, topic, data string) {
	t.Helper()
	got, gotData, err := c.Receive()
	if err != nil || got != topic || !sameJSON(string(gotData), data) {
		t.Fatalf("got %q %.100s, %v; want %q %.100s", got, gotData, err, topic, data)
	}
}

func sameJSON(a, b string) bool {
	var x, y any
	return json.Unmarshal([]byte(a), &x) == nil && json.Unmarshal([]byte(b), &y) == nil && reflect.DeepEqual(x, y)
}

// TalkNodesockd has a Nodesockd client ask the server on the socket at path: of two workers, which answer the
// request "echo" with its data, do not know "nope", and fail at "boom" with that text. Each request that a
// client of theirs makes is answered by one frame: it loses what comes close behind the first.
func TalkNodesockd(t testing.TB, path string, real bool) {
	t.Helper()
	p := Nodesockd(t, path, real)
	Await(t, p, "connect")
	ask := func(do, topic, data, workers string) Event {
		t.Helper()
		if err := p.Do(Command{Do: do, Topic: topic, Data: json.RawMessage(data), To: workers}); err != nil {
			t.Fatal(err)
		}
		for {
			e, err := p.Next()
			if err != nil {
				t.Fatalf("%s %s: %v", do, topic, err)
			}
			if e.Topic == do {
				return e
			}
		}
	}
	var status struct {
		Workers []struct {
			ID, State string
			PID       int
		}
	}
	if e := ask("status", "", "", ""); e.Event != "reply" || json.Unmarshal(e.Data, &status) != nil || len(status.Workers) != 2 || status.Workers[0].State != "online" {
		t.Errorf("status: got %v", e)
	}
	if e := ask("send", "hi", `{"a":1}`, ""); e.Event != "reply" {
		t.Errorf("a message: got %v", e)
	}
	if e := ask("send", "hi", "", "2-1"); e.Event != "error" || !strings.Contains(e.Error, "2-1") {
		t.Errorf("a reversed range: got %v", e)
	}
	for _, row := range []struct {
		request, workers string
		want             int    // replies
		data, err        string // of each
	}{{"echo", "", 2, `{"a":"é"}`, ""}, {"echo", "1", 1, `{"a":"é"}`, ""}, {"echo", "7", 0, "", ""}, {"boom", "", 2, "", "boom"}, {"nope", "", 2, "", "nope"}} {
		var replies []struct {
			ID     string
			PID    int
			Data   json.RawMessage
			Errors []string
		}
		e := ask("ask", row.request, `{"a":"é"}`, row.workers)
		if e.Event != "reply" || json.Unmarshal(e.Data, &replies) != nil || len(replies) != row.want {
			t.Errorf("%+v: got %v", row, e)
			continue
		}
		for _, r := range replies {
			if r.ID == "" || r.PID == 0 || row.data != "" && !sameJSON(string(r.Data), row.data) || !strings.Contains(strings.Join(r.Errors, " "), row.err) {
				t.Errorf("%+v: got %+v", row, r)
			}
		}
	}
	if err := p.Do(Command{Do: "close"}); err != nil {
		t.Fatal(err)
	}
	Await(t, p, "close")
	if err := p.Stop(); err != nil {
		t.Error(err)
	}
}
