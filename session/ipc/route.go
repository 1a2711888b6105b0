package ipc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"strings"
	"time"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/session"
)

// This file is how a peer reaches others by way of a hub that has a Router. On the
// wire such messages and requests go in a namespace of their own, the real one with
// a NUL before it, and their payload begins with whom they are for; the hub sends
// them on in a namespace of that kind, too, and there they begin with who asks.

// Kinds of a Member.
const (
	KindWorker = "worker"
	KindClient = "client" // any other peer of the hub
)

// A Member is who sends, or is to get, what a hub sends on; it is the hub's word.
type Member struct {
	Kind    string `json:"kind"`
	Index   int    `json:"index"` // which of the app's workers; -1: a standby, or no worker
	ID      string `json:"id"`
	Pid     int    `json:"pid"`
	Release string `json:"release,omitempty"`
}

// A Router sends on what the peers of a hub have for others. Its errors are told to
// who asks, as those of handlers are.
type Router struct {
	Message func(ctx context.Context, selector string, m *Received) (Delivery, error)

	// Request answers by Question.Answer, with AnswerChosen first. first and gap are as in
	// Query; 0: the hub's.
	Request func(ctx context.Context, selector string, q *Question, first, gap time.Duration) error
}

// SetRouter has the hub send on what comes for others. Before it has peers.
func (h *Hub) SetRouter(r *Router) { h.router.Store(r) }

// MaxSelector is how many bytes a selector may have.
const MaxSelector = 4096

// mostRouted is how many streams, and how many requests, one peer may have that are
// to be sent on.
const mostRouted = 64

// A Delivery says who got a one-way message: it was given to their channels, or waits
// for them to be ready.
type Delivery struct {
	Chosen int       `json:"chosen"` // that the selector names
	Sent   int       `json:"sent"`
	Failed []Failure `json:"failed,omitempty"` // at most 100
}

// MostFailed is how many failures a Delivery lists.
const MostFailed = 100

// A Failure is why one of those who were chosen did not get a message.
type Failure struct {
	Member
	Category int64  `json:"category"`
	Code     int64  `json:"code"`
	Text     string `json:"error"`
}

// Fail makes a Failure of err.
func Fail(m Member, err error) Failure {
	category, code, text := told(err)
	return Failure{m, category, code, text}
}

// Err is the failure as an error: a *RemoteError.
func (f *Failure) Err() error {
	return &RemoteError{Peer: f.ID, Category: f.Category, Code: f.Code, Msg: f.Text}
}

// An AnswerKind says what an Answer tells.
type AnswerKind uint8

// The kinds; their numbers are on the wire.
const (
	AnswerChosen AnswerKind = iota // the first of all: how many were chosen
	AnswerReply                    // one of the replies of From
	AnswerEnd                      // From has answered all
	AnswerFailed                   // From has failed, or was too late, or died: nothing more comes from it
)

// An Answer is one part of what came of a request to several.
type Answer struct {
	Kind   AnswerKind
	Chosen int    // of that kind
	From   Member // of the others
	Reply  Reply  // AnswerReply
	Err    error  // AnswerFailed: errors.Is tells os.ErrDeadlineExceeded, ErrPeerDied and the others of this package
}

// PostTo posts a message to whom the selector names, by way of the peer, whose hub
// has a Router. "" names its default. Nobody will say who got it; SendTo does. The
// messages of one namespace keep their order for each that gets them.
func (p *Peer) PostTo(ctx context.Context, selector string, m Message) error {
	if err := m.to(selector, 0, 0); err != nil {
		return err
	}
	return p.Post(ctx, m)
}

// SendTo is PostTo, and says who got the message. The errors are those of Ask; a
// selector that is none is a *RemoteError.
func (p *Peer) SendTo(ctx context.Context, selector string, m Message) (d Delivery, err error) {
	if err := m.to(selector, 0, 0); err != nil {
		return d, err
	}
	r, err := p.Ask(ctx, m)
	if err != nil {
		return d, err
	}
	if err := json.Unmarshal(r.Payload, &d); err != nil {
		return d, fmt.Errorf("ipc: answer of the router: %w", err)
	}
	return d, nil
}

// RequestTo asks those whom the selector names, by way of the peer, and yields what
// comes of it: how many were chosen, and then from each any number of replies and one
// end. The limits of q hold for each by itself: one that is late fails alone. An
// error is of the whole, as in Request, and the last thing yielded.
func (p *Peer) RequestTo(ctx context.Context, selector string, q Query) iter.Seq2[Answer, error] {
	return func(yield func(Answer, error) bool) {
		m := Message{}
		if err := m.to(selector, q.First, q.Gap); err != nil {
			yield(Answer{}, err)
			return
		}
		q.route, q.answers = m.route, true
		// The router sees to the limits; it has a little longer.
		long := max(limitOf(q.First, p.hub.o.FirstReply), limitOf(q.Gap, p.hub.o.ReplyGap)) + routerGrace
		q.First, q.Gap = long, long
		topic := q.Topic
		for r, err := range p.Request(ctx, q) {
			var a Answer
			if err == nil {
				a, err = readAnswer(&r, q.Namespace, topic)
			}
			if !yield(a, err) || err != nil {
				return
			}
		}
	}
}

// routerGrace is what a router may need beside the limits that it keeps.
const routerGrace = 5 * time.Second

// MaxLimit is the most that a request to others may give them for one reply.
const MaxLimit = time.Hour

func limitOf(d, def time.Duration) time.Duration {
	switch {
	case d == 0:
		return def
	case d < 0:
		return MaxLimit
	}
	return min(d, MaxLimit)
}

// PostFor is Post on behalf of from, who is named to the handler. For a Router: the
// peer must be one that believes it (PeerInfo.Forwards there).
func (p *Peer) PostFor(ctx context.Context, from Member, m Message) error {
	m.route = appendMember(nil, &from)
	return p.Post(ctx, m)
}

// RequestFor is Request on behalf of from.
func (p *Peer) RequestFor(ctx context.Context, from Member, q Query) iter.Seq2[Reply, error] {
	q.route = appendMember(nil, &from)
	return p.Request(ctx, q)
}

// to makes a message one that is to be sent on.
//
// array(3): selector raw, first uint, gap uint; both in ms, 0 for the hub's
func (m *Message) to(selector string, first, gap time.Duration) error {
	if len(selector) > MaxSelector {
		return fmt.Errorf("%w: a selector of %d bytes", ErrName, len(selector))
	}
	ms := func(d time.Duration) uint64 {
		if d == 0 {
			return 0
		}
		return uint64(max(limitOf(d, 0)/time.Millisecond, 1))
	}
	b := appendRaw([]byte{0x93}, []byte(selector))
	m.route = appendUint(appendUint(b, ms(first)), ms(gap))
	return nil
}

// mostPrefix is how many bytes may stand before a payload that goes by way of others, or
// comes from them: they are not counted against its limit.
const mostPrefix = 2 * MaxSelector

// most is how many bytes a payload of a namespace may have on the wire.
func (h *Hub) most(ns string) int {
	if ns != "" && ns[0] == 0 {
		return h.o.MaxMessage + mostPrefix
	}
	return h.o.MaxMessage
}

// routed gives a message that goes by way of others, or on behalf of them, the
// namespace and the payload that it has on the wire.
func (m *Message) routed(data []byte) []byte {
	if m.route == nil {
		return data
	}
	m.Namespace = "\x00" + m.Namespace
	return append(m.route[:len(m.route):len(m.route)], data...)
}

// realName is the namespace without the mark of those.
func realName(ns string) string { return strings.TrimPrefix(ns, "\x00") }

// space is the namespace that a peer means by name, or nil.
func (p *Peer) space(name string) *Namespace {
	if name[0] != 0 {
		return p.hub.namespace(name)
	}
	to := realName(name)
	if checkNamespace(to) != nil {
		return nil
	}
	ns := &Namespace{hub: p.hub, name: name}
	if p.info.Forwards {
		if to := p.hub.namespace(to); to != nil {
			ns.Handle("", to.forwarded)
			ns.HandleRequest("", to.forwardedRequest)
			return ns
		}
		return nil
	}
	r := p.hub.router.Load()
	if r == nil {
		return nil
	}
	ns.Handle("", func(ctx context.Context, m *Received) error {
		selector, _, _, rest, err := cutSelector(m.Payload)
		if err != nil {
			return err
		}
		m.Namespace, m.Payload = to, rest
		d, err := r.Message(ctx, selector, m)
		if err != nil || !m.Asks() {
			return err
		}
		return m.Reply(JSON(d))
	})
	ns.HandleRequest("", func(ctx context.Context, q *Question) error {
		selector, first, gap, rest, err := cutSelector(q.Payload)
		if err != nil {
			return err
		}
		if p.routing.Add(1) > mostRouted {
			p.routing.Add(-1)
			return refusalFull("requests to others")
		}
		defer p.routing.Add(-1)
		q.Namespace, q.Payload = to, rest
		return r.Request(ctx, selector, q, first, gap)
	})
	return ns
}

// crowdedLocked says whether the peer has too many streams that are to be sent on.
func (p *Peer) crowdedLocked() bool {
	n := 0
	for name := range p.ins {
		if name[0] == 0 {
			n++
		}
	}
	return n >= mostRouted
}

// forwarded handles a message that a hub has sent on.
func (n *Namespace) forwarded(ctx context.Context, m *Received) error {
	from, rest, err := cutMember(m.Payload)
	if err != nil {
		return err
	}
	m.Namespace, m.Payload, m.From = n.name, rest, from
	generic, own, _ := n.find([]byte(m.Topic))
	if generic == nil && own == nil {
		return refusal(heddle.CodeNoHandler, "unknown topic %.64q in namespace %q", m.Topic, n.name)
	}
	if generic != nil {
		err = generic(ctx, m)
	}
	if err == nil && own != nil {
		err = own(ctx, m)
	}
	return err
}

func (n *Namespace) forwardedRequest(ctx context.Context, q *Question) error {
	from, rest, err := cutMember(q.Payload)
	if err != nil {
		return err
	}
	q.Namespace, q.Payload, q.From = n.name, rest, from
	generic, own := n.findRequest(q.Topic)
	if generic == nil && own == nil {
		return refusal(heddle.CodeNoHandler, "unknown topic %.64q in namespace %q", q.Topic, n.name)
	}
	if generic != nil {
		err = generic(ctx, q)
	}
	if err == nil && own != nil {
		err = own(ctx, q)
	}
	return err
}

// Answer sends one part of what came of a request to several, as Reply does. For a
// Router. It is a reply of plain bytes:
//
// array(4): kind uint, chosen uint, format uint, member array(5); then the reply's
// payload, or of a failure array(3): category int, code int, text raw
func (q *Question) Answer(a Answer) error {
	b := append(q.head[:0], 0x94, byte(a.Kind))
	b = appendUint(b, uint64(a.Chosen))
	b = append(b, byte(a.Reply.Format))
	b = appendMember(b, &a.From)
	switch a.Kind {
	case AnswerReply:
		b = append(b, a.Reply.Payload...)
	case AnswerFailed:
		category, code, text := told(a.Err)
		b = appendInt(append(b, 0x93), category)
		b = appendRaw(appendInt(b, code), clip(text))
	}
	q.head = b
	if cap(q.head) > keepBuffer {
		q.head = nil
	}
	return q.write(FormatBytes, b, q.Peer.hub.o.MaxMessage+mostPrefix)
}

func readAnswer(r *Reply, ns, topic string) (a Answer, err error) {
	c := cursor{p: r.Payload, limit: MaxName}
	c.array(4)
	kind := c.uint()
	a.Chosen = int(min(c.uint(), 1<<30))
	format := c.uint()
	a.From = c.member()
	if c.err == nil && (kind > uint64(AnswerFailed) || format > uint64(lastFormat)) {
		c.fail(errRecord)
	}
	switch a.Kind = AnswerKind(kind); {
	case c.err != nil:
	case a.Kind == AnswerReply:
		a.Reply = Reply{Format: Format(format), hub: r.hub}
		if a.Reply.Format != FormatNone {
			a.Reply.Payload = r.Payload[c.off:]
		}
	case a.Kind == AnswerFailed:
		c.array(3)
		e := &RemoteError{Peer: a.From.ID, Namespace: ns, Topic: topic, Category: c.int(), Code: c.int()}
		e.Msg = string(c.raw(session.MaxText))
		a.Err = e
	}
	if c.err != nil {
		return Answer{}, fmt.Errorf("ipc: answer of the router: %w", errRecord)
	}
	return a, nil
}

// appendMember encodes who sends or answers.
//
// array(5): kind raw, index int, id raw, pid uint, release raw
func appendMember(dst []byte, m *Member) []byte {
	dst = appendRaw(append(dst, 0x95), []byte(m.Kind[:min(len(m.Kind), MaxName)]))
	dst = appendInt(dst, int64(m.Index))
	dst = appendRaw(dst, []byte(m.ID[:min(len(m.ID), MaxName)]))
	dst = appendUint(dst, uint64(max(m.Pid, 0)))
	return appendRaw(dst, []byte(m.Release[:min(len(m.Release), MaxName)]))
}

func (c *cursor) member() (m Member) {
	c.array(5)
	m.Kind = string(c.raw(MaxName))
	m.Index = int(c.int())
	m.ID = string(c.raw(MaxName))
	m.Pid = int(min(c.uint(), 1<<31-1))
	m.Release = string(c.raw(MaxName))
	return m
}

// errPrefix refuses what does not begin as it must.
var errPrefix = refusal(heddle.CodeException, "malformed: it does not say whom it is for, or of")

func cutMember(p []byte) (m Member, rest []byte, err error) {
	c := cursor{p: p, limit: MaxName}
	if m = c.member(); c.err != nil {
		return Member{}, nil, errPrefix
	}
	return m, p[c.off:], nil
}

func cutSelector(p []byte) (selector string, first, gap time.Duration, rest []byte, err error) {
	c := cursor{p: p, limit: MaxSelector}
	c.array(3)
	selector = string(c.raw(MaxSelector))
	limit := func() time.Duration {
		return min(time.Duration(min(c.uint(), uint64(MaxLimit/time.Millisecond)))*time.Millisecond, MaxLimit)
	}
	first, gap = limit(), limit()
	if c.err != nil {
		return "", 0, 0, nil, errPrefix
	}
	return selector, first, gap, p[c.off:], nil
}

// told is what is said of an error to who is far away.
func told(err error) (category, code int64, text string) {
	var remote *RemoteError
	if errors.As(err, &remote) {
		return remote.Category, remote.Code, remote.Msg
	}
	for _, k := range knownErrors {
		if errors.Is(err, k.err) {
			return heddle.CategoryFramework, k.code, err.Error()
		}
	}
	e := failure(err)
	return e.Category, e.Code, e.Msg
}
