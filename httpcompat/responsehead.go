package httpcompat

import (
	"net/http"
	"strconv"
	"strings"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/codec"
	"github.com/heddle-go/heddle/session"
)

// encode puts the header's pairs into sc.head, but for those that net/http
// would not send either.
func (w *response) encode() {
	w.sc.head = append(w.sc.head[:0], make([]byte, prefixRoom)...)
	te := w.header.Get("Transfer-Encoding")
	w.hasTransfer = te != ""
	if w.hasTransfer && te != "identity" && w.length >= 0 {
		w.h.logf("httpcompat: both Transfer-Encoding %q and Content-Length %d were set", te, w.length)
		w.length = -1
	}
	for name, vv := range w.header {
		switch name {
		case "Content-Length":
			if w.length < 0 && w.header.Get(name) != "" || !bodyAllowed(w.status) {
				continue
			}
		case "Content-Type":
			w.hasType = true
			if w.status == http.StatusNotModified {
				continue
			}
		case "Content-Encoding":
			w.hasCoding = len(vv) > 0 && vv[0] != ""
		case "Transfer-Encoding":
			if !w.heddle {
				continue // framing is the front's
			}
		case "Date":
			w.hasDate = true
		case "Trailer":
			w.noLength = w.noLength || w.req.ProtoMajor == 1
			for _, v := range vv {
				for name := range strings.SplitSeq(v, ",") {
					if name = http.CanonicalHeaderKey(strings.TrimSpace(name)); name != "" {
						w.declared = append(w.declared, name)
					}
				}
			}
			if !w.heddle {
				continue // none can follow
			}
		default:
			if strings.HasPrefix(name, http.TrailerPrefix) {
				w.noLength = w.noLength || w.req.ProtoMajor == 1
				continue
			}
		}
		n := 0
		w.sc.head, n = appendHeader(w.sc.head, name, vv, w.req.ProtoMajor)
		w.fields += n
	}
}

// head finishes the encoded head. first is the beginning of the body, for its
// type; end says that it is all of it.
func (w *response) head(first []byte, end bool) []byte {
	b := w.sc.head
	allowed := bodyAllowed(w.status)
	if allowed && !w.hasType && !w.hasCoding && !w.hasTransfer && len(first) > 0 {
		b = appendField(b, "Content-Type", http.DetectContentType(first))
		w.fields++
		w.made |= heddle.MadeType
	}
	if end && allowed && w.length < 0 && !w.noLength && !w.hasTransfer && (w.req.Method != "HEAD" || len(first) > 0) {
		w.length = int64(len(first))
		var digits [20]byte
		n := strconv.AppendInt(digits[:0], w.length, 10)
		b = codec.AppendRaw(codec.AppendRawString(append(b, 0x92), "Content-Length"), n)
		w.fields++
		w.made |= heddle.MadeLength
	}
	if !w.hasDate {
		b = appendField(b, "Date", w.h.date())
		w.fields++
		w.made |= heddle.MadeDate
	}
	prefix := byte(0x92)
	if w.heddle {
		if w.body != nil && w.body.s != nil && w.req.ProtoMajor == 1 && w.body.spoils(w.fullDuplex) {
			w.made |= heddle.MadeClose
		}
		b, prefix = append(b, byte(w.made)), 0x93
	}
	w.sc.head = b
	w.headSent = true
	if w.body != nil {
		w.body.continues.Store(false)
	}
	var room [prefixRoom]byte
	start := codec.AppendArray(appendStatus(append(room[:0], prefix), w.status), w.fields)
	b = b[prefixRoom-len(start):]
	copy(b, start)
	return b
}

// sendInfo sends a 1xx head.
func (w *response) sendInfo(code int) {
	b := append(appendStatus(append(w.sc.head[:0], 0x92), code), 0xdc, 0, 0) // the count is put in below
	at, n := len(b), 0
	for name, vv := range w.header {
		if name == "Content-Length" || name == "Transfer-Encoding" {
			continue
		}
		k := 0
		b, k = appendHeader(b, name, vv, w.req.ProtoMajor)
		n += k
	}
	b[at-2], b[at-1] = byte(n>>8), byte(n)
	w.sc.head = b
	if code == http.StatusContinue {
		w.body.continues.Store(false) // it is told
	}
	if err := w.s.SendInfo(b); err != nil && err != session.ErrUnsupported {
		w.err = err
	}
}

// showsHead says that the answer to a HEAD has the beginning of its body behind
// the head all the same: what we made of it, the front is to make too.
func (w *response) showsHead() bool {
	return w.req.Method == "HEAD" && w.heddle && w.made&(heddle.MadeType|heddle.MadeLength) != 0
}

// finalTrailers encodes what the handler left as trailers, or returns nil.
//
// array(1): headers array of [name, value]
func (w *response) finalTrailers() []byte {
	if w.req.ProtoMajor == 1 && w.length >= 0 || !bodyAllowed(w.status) {
		return nil // nor does net/http send any then
	}
	var b []byte
	n := 0
	add := func(name string, vv []string) {
		k := 0
		b, k = appendHeader(b, name, vv, w.req.ProtoMajor)
		n += k
	}
	for name, vv := range w.header {
		if name, ok := strings.CutPrefix(name, http.TrailerPrefix); ok {
			add(name, vv)
		}
	}
	for _, name := range w.declared {
		add(name, w.header[name])
	}
	if n == 0 {
		return nil
	}
	return append(codec.AppendArray([]byte{0x91}, n), b...)
}
