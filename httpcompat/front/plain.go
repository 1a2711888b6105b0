package front

import (
	"bytes"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/httpcompat"
	"github.com/heddle-go/heddle/session"
)

// This file is what concerns workers that were written for Cocaine: they get and
// give heads in the plain form (PROTOCOL 4), as httpcompat.Proxy has it with Plain.
// A request's body goes with its head, and so has to be there first: those with a
// long one, or one of unknown length, are net/http's.

// mostPlainBody is how long a body may be, in bytes, for which a loop waits.
const mostPlainBody = 32 << 10

// A PlainOpener is an Opener whose workers know the plain form only.
type PlainOpener interface {
	Opener

	// Plain is asked on loop i before each OpenOn there. Event is what requests are;
	// free says that somebody of that loop can take one now. If nobody can, the
	// connection is handed over to net/http, whose handler may ask on every loop.
	Plain(i int) (event string, free bool)
}

// hops are the fields that concern one connection only (RFC 9110 7.6.1); Trailer
// goes with them, for nobody could send any.
var hops = [...]string{"Connection", "Keep-Alive", "Proxy-Connection", "Te", "Trailer", "Transfer-Encoding", "Upgrade", "Expect"}

func isHop(name []byte) bool {
	for _, h := range hops {
		if len(h) == len(name) && bytes.EqualFold(name, []byte(h)) {
			return true
		}
	}
	return false
}

// withoutHops is list, which is written to, without those.
func withoutHops(list []heddle.Header) []heddle.Header {
	kept := list[:0]
	for _, f := range list {
		if !isHop(f.Name) {
			kept = append(kept, f)
		}
	}
	return kept
}

var nameHostField = heddle.Raw("Host")

// plainly gives a head of a plain worker the form that one of ours has, and finds out
// how its body will end. False: no client may be given that.
func (x *call) plainly(h *heddle.ResponseHead) bool {
	if h.Code < 200 {
		return false // nobody was asked to switch
	}
	h.Made = 0
	for i := range h.Headers {
		f := &h.Headers[i]
		f.Name = raw(http.CanonicalHeaderKey(lend(f.Name)))
	}
	if names := namedHops(h.Headers); names != nil {
		h.Headers = slices.DeleteFunc(h.Headers, func(f heddle.Header) bool { return names[string(f.Name)] })
	}
	kept, hasDate := h.Headers[:0], false
	for _, f := range withoutHops(h.Headers) {
		hasDate = hasDate || string(f.Name) == "Date"
		if string(f.Name) != lingering {
			kept = append(kept, f)
			continue
		}
		switch string(f.Value) {
		case "1.1":
			x.lingers = true
		case "1.0":
		default:
			return false
		}
	}
	h.Headers = kept
	if len(x.adds) > 0 {
		h.Headers = x.withAdds(kept)
	}
	if !hasDate {
		h.Headers = append(h.Headers, heddle.Header{Name: nameDate, Value: x.ln.dateNow()})
		h.Made = heddle.MadeDate
	}
	return true
}

// dateNow is a Date field's value, written anew when the second changes.
func (ln *lane) dateNow() []byte {
	now := time.Now()
	if second := now.Unix(); second != ln.dateAt || len(ln.date) == 0 {
		ln.dateAt = second
		ln.date = now.UTC().AppendFormat(ln.date[:0], http.TimeFormat)
	}
	return ln.date
}

// lingering is the field by which a plain worker says how its body ends
// (PROTOCOL 4), as net/http writes it.
const lingering = "X-Cocaine-Http-Proto-Version"

var nameDate = heddle.Raw("Date")

// namedHops are the fields that the Connection fields in list name, all as net/http
// writes them; nil for none.
func namedHops(list []heddle.Header) map[string]bool {
	var names map[string]bool
	for _, f := range list {
		if string(f.Name) != "Connection" {
			continue
		}
		for name := range strings.SplitSeq(string(f.Value), ",") {
			if names == nil {
				names = make(map[string]bool)
			}
			names[http.CanonicalHeaderKey(strings.TrimSpace(name))] = true
		}
	}
	return names
}

// unpack takes the packing off a chunk of v0's, in which each is packed once more.
func (x *call) unpack(p []byte) ([]byte, error) {
	if x.s.Mux().Dialect() != heddle.V0 {
		return p, nil
	}
	var packed heddle.Raw
	if rest, err := packed.UnmarshalMsg(p); err != nil || len(rest) > 0 {
		return nil, errPacking
	}
	return packed, nil
}

var errPacking = errors.New("a piece of the body that is not packed as v0 has it")

// linger is the end of a body whose session goes on, as the worker's load alone.
func (x *call) linger() {
	if x.framing == byLength && x.rest > 0 {
		x.s.Cancel(errTooLittle)
		x.broken(errTooLittle)
		return
	}
	x.s.Cancel(nil)
	x.whole = x.whole || !x.half
	x.endBody()
}

// withAdds is list, which is written to, with the fields that are added here.
func (x *call) withAdds(list []heddle.Header) []heddle.Header {
	kept := list[:0]
	for _, f := range list {
		ours := string(f.Name) == requestID
		for _, a := range x.adds {
			ours = ours || string(f.Name) == string(a.Name)
		}
		if !ours {
			kept = append(kept, f)
		}
	}
	return append(append(kept, x.adds...), heddle.Header{Name: nameRequestID, Value: x.id})
}

// judged is what a Judge says of a session that brought no answer.
func (x *call) judged(err error) (v httpcompat.Verdict, ok bool) {
	if j, is := x.to.(httpcompat.Judge); is && x.event != "" {
		return j.Judge(x.s, err, x.tries), true
	}
	return v, false
}

// failed says what a client gets of a worker that gave no answer.
func (x *call) failed(err error) failure {
	if v, ok := x.judged(err); ok && v.Code != 0 {
		return failure{code: v.Code, why: v.Why, retry: int64((v.RetryAfter + time.Second - 1) / time.Second)}
	}
	if e := (*session.Error)(nil); x.event != "" && errors.As(err, &e) && e.Remote {
		return failure{code: http.StatusInternalServerError, why: "the worker failed"}
	}
	return failure{code: http.StatusBadGateway, why: "the worker gave no answer"}
}

// eventOf is the event of a call's session.
func (x *call) eventOf() string {
	if x.event != "" {
		return x.event
	}
	return httpcompat.DefaultEvent
}
