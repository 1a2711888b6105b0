package host

import (
	"bytes"
	"testing"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/codec"
	"github.com/heddle-go/heddle/session"
)

// TestApart: a plain request too large for one chunk goes as a head that has no
// remote, and a body that follows; what is none stays as it is.
func TestApart(t *testing.T) {
	body := bytes.Repeat([]byte("x"), session.MaxHead)
	plain := func(h heddle.RequestHead) []byte { return codec.AppendRequestHead(nil, &h, true) }
	whole := heddle.RequestHead{Method: []byte("POST"), URI: []byte("/a"), Version: []byte("1.1"), Body: body,
		Headers: []heddle.Header{{Name: []byte("transfer-encoding"), Value: []byte("chunked")}, {Name: []byte("A"), Value: []byte("b")}}}
	head, rest := apart(plain(whole))
	var h heddle.RequestHead
	if err := codec.DecodeRequestHead(&h, head); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(rest, body) || h.Extra.ContentLength != int64(len(body)) || len(h.Extra.RemoteAddr) > 0 || len(h.Body) > 0 || len(h.Headers) != 1 || string(h.URI) != "/a" {
		t.Errorf("got %+v and %d bytes", h, len(rest))
	}
	large := heddle.RequestHead{Method: []byte("GET"), URI: bytes.Repeat([]byte("u"), session.MaxHead), Version: []byte("1.1"), Body: []byte("x")}
	for name, p := range map[string][]byte{"no body": plain(heddle.RequestHead{Method: []byte("GET")}), "a large head": plain(large), "no head": body, "nothing": nil} {
		if head, _ := apart(p); head != nil {
			t.Errorf("%s: it was taken apart", name)
		}
	}
}
