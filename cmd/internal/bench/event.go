package bench

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/codec"
)

// maxEvent is how long an event's name may be.
const maxEvent = 1 << 10 // bytes

// packedMark stands for the id in a packed request: as many bytes as the id has, since
// its lengths are counted with them.
const packedMark = "\x00heddle bench:\x01\x02"

var _ = [1]struct{}{}[len(packedMark)-idLen]

// compileCall makes a template of r for an app: its event, and what it is sent.
func (r Request) compileCall(t Target, idField string) (*template, error) {
	if r.Event == "" {
		r.Event = t.Event
	}
	if r.Name == "" {
		r.Name = r.Event
	}
	fail := func(format string, args ...any) (*template, error) {
		return nil, fmt.Errorf("bench: request %q: "+format, append([]any{r.Name}, args...)...)
	}
	switch {
	case r.Event == "":
		return fail("it names no event; --event is that of all which name none")
	case len(r.Event) > maxEvent:
		return fail("an event's name has at most %d bytes", maxEvent)
	case r.Status != 0:
		return fail("a session has no status")
	case !r.Pack && (r.Method != "" || r.Path != "" || len(r.Header) > 0):
		return fail("a session has no method, path and headers, unless they are packed")
	}
	c := &template{name: r.Name, event: r.Event, expect: r.Expect}
	text, mark := r.Body, idMark
	if r.Pack {
		var err error
		if text, err = r.packed(idField); err != nil {
			return fail("%w", err)
		}
		mark = packedMark
	}
	if !c.fill(text, mark) {
		return fail("it is longer than %d bytes", maxRequest)
	}
	return c, nil
}

// packed is r as an event wants it that stands for HTTP (PROTOCOL 4), packedMark in
// place of each id.
func (r Request) packed(idField string) (string, error) {
	if r.Method == "" {
		if r.Method = "GET"; r.Body != "" {
			r.Method = "POST"
		}
	}
	if r.Path == "" {
		r.Path = "/"
	}
	if !token(r.Method) || !printable(r.Path) || strings.Contains(r.Path, " ") || r.Path[0] != '/' {
		return "", fmt.Errorf("%q is no method and path", r.Method+" "+r.Path)
	}
	marked := func(text string) heddle.Raw { return heddle.Raw(strings.ReplaceAll(text, idMark, packedMark)) }
	head := heddle.RequestHead{Method: heddle.Raw(r.Method), URI: marked(r.Path), Version: heddle.Raw("1.1"), Body: marked(r.Body)}
	if len(head.Body) > maxRequest {
		return "", fmt.Errorf("it is longer than %d bytes", maxRequest)
	}
	add := func(name, value string) {
		head.Headers = append(head.Headers, heddle.Header{Name: heddle.Raw(name), Value: marked(value)})
	}
	for _, name := range slices.Sorted(maps.Keys(r.Header)) {
		for _, v := range r.Header[name] {
			if !token(name) || !printable(v) {
				return "", fmt.Errorf("%q cannot be a field's name and value", name+": "+v)
			}
			add(name, v)
		}
	}
	if idField != "" {
		add(idField, idMark)
	}
	return string(codec.AppendRequestHead(nil, &head, true)), nil
}
