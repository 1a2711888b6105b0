package bench

import (
	"net/http"
	"strings"
	"testing"

	heddle "github.com/heddle-go/heddle"
)

// TestPacked: what is packed is what the event's handler unpacks, whatever the id.
func TestPacked(t *testing.T) {
	r := Request{Event: "http", Pack: true, Path: "/orders/{id}?q={id}", Header: http.Header{"X-A": {"b {id}"}}, Body: "order {id}, {id}"}
	c, err := r.compileCall(AppTarget("x:1", "app", ""), "X-Request-Id")
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []uint64{0, 0x0123456789abcdef} {
		text := "0000000000000000"
		if id != 0 {
			text = "0123456789abcdef"
		}
		var h heddle.RequestHead
		rest, err := h.UnmarshalMsg(c.stamp(id))
		if err != nil || len(rest) != 0 {
			t.Fatalf("%x: %v, %d bytes are left", id, err, len(rest))
		}
		fields := ""
		for _, f := range h.Headers {
			fields += string(f.Name) + ": " + string(f.Value) + "\n"
		}
		if string(h.Method) != "POST" || string(h.URI) != "/orders/"+text+"?q="+text || string(h.Version) != "1.1" || string(h.Body) != "order "+text+", "+text || fields != "X-A: b "+text+"\nX-Request-Id: "+text+"\n" {
			t.Errorf("%x: got %s %s %s %q\n%s", id, h.Method, h.URI, h.Version, h.Body, fields)
		}
	}
	for name, r := range map[string]Request{
		"method": {Event: "http", Pack: true, Method: "G T"}, "path": {Event: "http", Pack: true, Path: "x"}, "header": {Event: "http", Pack: true, Header: http.Header{"A": {"\r\n"}}},
		"status": {Event: "http", Pack: true, Status: 200}, "long": {Event: "http", Pack: true, Body: strings.Repeat("x", maxRequest)},
		"longer": {Event: "http", Pack: true, Body: strings.Repeat("{id}", maxRequest/2)},
	} {
		if _, err := r.compileCall(AppTarget("x:1", "app", ""), ""); err == nil {
			t.Errorf("%s: compiled", name)
		}
	}
}
