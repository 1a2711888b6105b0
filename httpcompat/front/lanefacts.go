package front

import (
	"strings"

	heddle "github.com/heddle-go/heddle"
)

// withFacts appends h's fields to dst, and those that the front adds, as
// facts.enter does to a request of net/http. The request's id is put into id.
// What is appended borrows h, id and the lane's facts.
func (ln *lane) withFacts(dst []heddle.Header, h *requestHead, p peer, id *[]byte) []heddle.Header {
	sentID := h.one(kindRequestID)
	keptID := sentID != nil && validID(lend(sentID))
	keptProto := p.trusted && len(h.first(kindProto)) > 0
	keptHost := p.trusted && len(h.first(kindHost)) > 0
	for i := range h.fields {
		f := &h.fields[i]
		switch f.kind {
		case kindRequestID:
			if !keptID {
				continue
			}
		case kindFor, kindForwarded:
			continue
		case kindProto:
			if !keptProto {
				continue
			}
		case kindHost:
			if !keptHost {
				continue
			}
		}
		dst = append(dst, heddle.Header{Name: f.name, Value: f.value})
	}
	if h.addsCacheControl() {
		dst = append(dst, heddle.Header{Name: nameCacheControl, Value: h.first(kindPragma)})
	}
	if keptID {
		*id = append((*id)[:0], sentID...)
	} else {
		*id = appendID((*id)[:0], ln.short)
		dst = append(dst, heddle.Header{Name: nameRequestID, Value: *id})
	}
	var fors, nodes string // what a trusted peer said before
	if p.trusted {
		fors = h.joined(kindFor)
		if nodes = h.joined(kindForwarded); nodes == "" || !wholeQuotes(nodes) {
			nodes = nodesOf(fors)
		}
	}
	b := ln.facts[:0]
	add := func(name heddle.Raw, at int) {
		dst = append(dst, heddle.Header{Name: name, Value: b[at:len(b):len(b)]})
	}
	if fors != "" || p.ip != "" {
		at := len(b)
		b = append(b, fors...)
		if fors != "" && p.ip != "" {
			b = append(b, ", "...)
		}
		b = append(b, p.ip...)
		add(nameFor, at)
	}
	if !keptProto {
		dst = append(dst, heddle.Header{Name: nameProto, Value: valueHTTP})
	}
	if !keptHost && len(h.host) > 0 {
		dst = append(dst, heddle.Header{Name: nameHost, Value: h.host})
	}
	at := len(b)
	if nodes != "" {
		b = append(append(b, nodes...), ", "...)
	}
	b = appendElement(b, p, lend(h.host), "http")
	add(nameForwarded, at)
	ln.facts = b
	return dst
}

var (
	nameRequestID    = heddle.Raw(requestID)
	nameFor          = heddle.Raw(forwardedFor)
	nameProto        = heddle.Raw(forwardedProto)
	nameHost         = heddle.Raw(forwardedHost)
	nameForwarded    = heddle.Raw(forwarded)
	nameCacheControl = heddle.Raw("Cache-Control")
	valueHTTP        = heddle.Raw("http")
)

// first is the first field's value of a kind, nil for none.
func (h *requestHead) first(k kind) []byte {
	if !h.has(k) {
		return nil
	}
	for i := range h.fields {
		if h.fields[i].kind == k {
			return h.fields[i].value
		}
	}
	return nil
}

// one is the value of a kind's only field; nil if there are none or more.
func (h *requestHead) one(k kind) (value []byte) {
	if !h.has(k) {
		return nil
	}
	n := 0
	for i := range h.fields {
		if h.fields[i].kind == k {
			value = h.fields[i].value
			n++
		}
	}
	if n != 1 {
		return nil
	}
	return value
}

// joined is all values of a kind, as one list.
func (h *requestHead) joined(k kind) string {
	if !h.has(k) {
		return ""
	}
	var b strings.Builder
	n := 0
	for i := range h.fields {
		if h.fields[i].kind == k {
			if n++; n > 1 {
				b.WriteString(", ")
			}
			b.Write(h.fields[i].value)
		}
	}
	return b.String()
}
