package front

import (
	"bytes"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	heddle "github.com/heddle-go/heddle"
)

// How the front writes heads is how net/http's server writes them: the handler's
// fields by name, behind them what the server makes, in its order (server.go of
// go1.26, chunkWriter.writeHeader and extraHeader.Write).

// appendHead appends the head of an answer, finds out how its body will be told
// from what follows, and whether the connection can be used again. It reports
// false for a head that no client may be given.
func (x *call) appendHead(b []byte, h *heddle.ResponseHead) ([]byte, bool) {
	code := int(h.Code)
	if code < 200 && code != http.StatusSwitchingProtocols || code > 999 {
		return b, false // other 1xx are no final heads
	}
	var date, length, kind heddle.Raw // that the server makes
	var connection, te, upgrade, declared string
	var hasConnection, hasLength, hasUpgrade, upgrades bool
	fields := h.Headers[:0]
	for _, f := range h.Headers {
		if !all(f.Name, inToken) || len(f.Name) == 0 || !validValue(f.Value) {
			return b, false
		}
		switch string(f.Name) {
		case "Date":
			if h.Made&heddle.MadeDate != 0 {
				date = f.Value
				continue
			}
		case "Content-Type":
			if h.Made&heddle.MadeType != 0 {
				kind = f.Value
				continue
			}
		case "Content-Length":
			if h.Made&heddle.MadeLength != 0 {
				length = f.Value
				continue
			}
			if !hasLength {
				hasLength, declared = true, lend(f.Value)
			}
		case "Connection":
			if !hasConnection {
				hasConnection, connection = true, lend(f.Value)
			}
			upgrades = upgrades || hasToken(lend(f.Value), "upgrade")
		case "Transfer-Encoding":
			if te == "" {
				te = lend(f.Value)
			}
		case "Upgrade":
			if !hasUpgrade {
				hasUpgrade, upgrade = true, lend(f.Value)
			}
		}
		fields = append(fields, f)
	}

	allowed := code >= 200 && code != http.StatusNoContent && code != http.StatusNotModified
	rest := int64(-1)
	if len(length) > 0 {
		declared = lend(length)
	}
	if declared != "" {
		n, err := strconv.ParseInt(declared, 10, 64)
		switch {
		case err == nil && n >= 0:
			rest = n
		case len(length) > 0:
			return b, false
		}
	}
	keepLength := rest >= 0 || declared == ""
	if rest >= 0 && te != "" && te != "identity" {
		rest, keepLength = -1, false
	}
	keepTE, chunked := true, false
	last := x.last || connection == "close" || x.ln.draining || h.Made&heddle.MadeClose != 0
	switch {
	case x.isHead || !allowed:
		x.framing, keepTE = noBody, false
	case rest >= 0:
		x.framing, keepTE = byLength, false
		x.rest = rest
		x.whole = rest == 0 && !x.half
	case te == "identity":
		x.framing, keepTE, last = byEnd, false, true
	default:
		x.framing, chunked = byChunks, true
		keepTE, keepLength = te != "chunked", false
	}
	if !allowed {
		keepLength, length = false, nil
	}
	keepConnection, says := true, ""
	switching := code == http.StatusSwitchingProtocols && upgrade != "" && upgrades
	if last && (x.ln.draining || !hasWord(connection, "close")) && !switching {
		keepConnection, says = false, "close"
	}
	x.last = last

	b = appendStatus(b, code)
	slices.SortStableFunc(fields, compareNames)
	for _, f := range fields {
		switch string(f.Name) {
		case "Content-Length":
			if !keepLength {
				continue
			}
		case "Transfer-Encoding":
			if !keepTE {
				continue
			}
		case "Connection":
			if !keepConnection {
				continue
			}
		case "Content-Type":
			if code == http.StatusNotModified {
				continue
			}
		}
		b = appendField(b, f.Name, f.Value)
	}
	if date != nil {
		b = appendField(b, []byte("Date"), date)
	}
	if len(length) > 0 {
		b = appendField(b, []byte("Content-Length"), length)
	}
	if kind != nil {
		b = appendField(b, []byte("Content-Type"), kind)
	}
	if says != "" {
		b = append(b, "Connection: close\r\n"...)
	}
	if chunked {
		b = append(b, "Transfer-Encoding: chunked\r\n"...)
	}
	return append(b, "\r\n"...), true
}

// appendInfo appends a 1xx head.
func (ln *lane) appendInfo(b []byte, i *heddle.Info) ([]byte, bool) {
	b, ok := ln.appendFields(appendStatus(b, int(i.Code)), i.Headers, func(name []byte) bool {
		return string(name) != "Content-Length" && string(name) != "Transfer-Encoding"
	})
	return append(b, "\r\n"...), ok
}

// isTrailer refuses what would change how the body is read.
func isTrailer(name []byte) bool {
	switch string(name) {
	case "Content-Length", "Transfer-Encoding", "Trailer":
		return false
	}
	return true
}

// appendFields appends fields, by name, those that are wanted.
func (ln *lane) appendFields(b []byte, fields []heddle.Header, wanted func(name []byte) bool) ([]byte, bool) {
	slices.SortStableFunc(fields, compareNames)
	for _, f := range fields {
		if !all(f.Name, inToken) || len(f.Name) == 0 || !validValue(f.Value) {
			return b, false
		}
		if wanted(f.Name) {
			b = appendField(b, f.Name, f.Value)
		}
	}
	return b, true
}

func compareNames(a, b heddle.Header) int { return bytes.Compare(a.Name, b.Name) }

func appendField(b, name, value []byte) []byte {
	b = append(append(b, name...), ": "...)
	return append(append(b, value...), "\r\n"...)
}

// appendStatus appends the first line of an answer.
func appendStatus(b []byte, code int) []byte {
	b = append(b, "HTTP/1.1 "...)
	b = strconv.AppendInt(b, int64(code), 10)
	b = append(b, ' ')
	if text := http.StatusText(code); text != "" {
		b = append(b, text...)
	} else {
		b = strconv.AppendInt(append(b, "status code "...), int64(code), 10)
	}
	return append(b, "\r\n"...)
}

// validValue refuses what could be read as the end of a field.
func validValue(v []byte) bool {
	return bytes.IndexByte(v, '\n') < 0 && bytes.IndexByte(v, '\r') < 0
}

// hasToken says whether a comma-separated value has this element.
func hasToken(value, token string) bool {
	for t := range strings.SplitSeq(value, ",") {
		if strings.EqualFold(strings.Trim(t, " \t"), token) {
			return true
		}
	}
	return false
}

// hasWord says whether a value has this word, between blanks and commas: with less
// care than hasToken, as net/http looks for close.
func hasWord(value, word string) bool {
	for t := range strings.FieldsFuncSeq(value, func(r rune) bool { return r == ' ' || r == '\t' || r == ',' }) {
		if strings.EqualFold(t, word) {
			return true
		}
	}
	return false
}

// A failure is an answer that the front gives by itself, in the words of
// http.Error.
type failure struct {
	code   int
	why    string
	id     []byte          // of the request, if it has one
	retry  int64           // seconds, for Retry-After; 0: none
	last   bool            // the connection ends behind it
	noBody bool            // it answers a HEAD
	adds   []heddle.Header // with the request's id, if there are any
}

func appendFailure(b []byte, f failure) []byte {
	b = appendStatus(b, f.code)
	b = append(b, "Content-Type: text/plain; charset=utf-8\r\n"...)
	if f.retry > 0 {
		b = strconv.AppendInt(append(b, "Retry-After: "...), f.retry, 10)
		b = append(b, "\r\n"...)
	}
	b = append(b, "X-Content-Type-Options: nosniff\r\n"...)
	for _, a := range f.adds {
		b = appendField(b, a.Name, a.Value)
	}
	if len(f.adds) > 0 {
		b = appendField(b, nameRequestID, f.id)
	}
	b = append(b, "Date: "...)
	b = time.Now().UTC().AppendFormat(b, http.TimeFormat)
	text := strconv.Itoa(f.code) + " " + http.StatusText(f.code) + ": " + f.why
	if len(f.id) > 0 {
		text += " (request " + string(f.id) + ")"
	}
	text += "\n"
	b = strconv.AppendInt(append(b, "\r\nContent-Length: "...), int64(len(text)), 10)
	if f.last {
		b = append(b, "\r\nConnection: close"...)
	}
	b = append(b, "\r\n\r\n"...)
	if f.noBody {
		return b
	}
	return append(b, text...)
}
