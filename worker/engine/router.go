package engine

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"math"
	"os"
	"sync"
	"time"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/session"
	"github.com/heddle-go/heddle/session/ipc"
)

// This file is what one worker, or another peer of the hub, has for others: the engine
// sends it on to those that a selector names, and says on whose behalf.

// routeGrace is how long a message waits for room in the queues of those that are slow
// to read.
const routeGrace = 5 * time.Second

// compareMembers orders by index, those without one last.
func compareMembers(a, b *WorkerInfo) int {
	place := func(m *WorkerInfo) int {
		if m.Index < 0 {
			return math.MaxInt
		}
		return m.Index
	}
	return cmp.Or(cmp.Compare(place(a), place(b)), cmp.Compare(a.Release, b.Release), cmp.Compare(a.ID, b.ID))
}

// choose are those whom text names, as the peer means it.
func (e *Engine) choose(text string, from WorkerInfo) ([]Target, error) {
	sel, err := ParseSelector(text)
	if err != nil {
		return nil, &session.Error{Category: heddle.CategoryFramework, Code: ipc.CodeSelector, Msg: err.Error()}
	}
	if from.Kind == ipc.KindWorker {
		sel = sel.As(from.ID)
	}
	return e.Select(sel), nil
}

// Router is what sends on to the workers what the peers of a hub have for them: of the
// engine's own, or of another one, whose peers are clients to the workers.
func (e *Engine) Router() *ipc.Router {
	return &ipc.Router{Message: e.routeMessage, Request: e.routeRequest}
}

// routeMessage is ipc.Router.Message.
func (e *Engine) routeMessage(ctx context.Context, text string, m *ipc.Received) (d ipc.Delivery, err error) {
	from := e.who(m.Peer)
	list, err := e.choose(text, from)
	if err != nil {
		return d, err
	}
	msg := ipc.Message{Namespace: m.Namespace, Topic: m.Topic, Body: ipc.Raw(m.Format, m.Payload)}
	for _, f := range m.TakeFiles() {
		msg.Files = append(msg.Files, f)
	}
	defer closeAll(msg.Files)
	return e.post(ctx, list, &from, msg)
}

// Post sends a message to all that the selector names, one way, and says who got it:
// it was given to their channels, or waits until they are ready. A queue that is full
// is waited for as long as ctx lasts, at most 5 s. With descriptors it must be one.
func (e *Engine) Post(ctx context.Context, sel Selector, m ipc.Message) (ipc.Delivery, error) {
	return e.post(ctx, e.Select(sel), nil, m)
}

func (e *Engine) post(ctx context.Context, list []Target, from *WorkerInfo, m ipc.Message) (d ipc.Delivery, err error) {
	d.Chosen = len(list)
	if len(m.Files) > 0 && len(list) != 1 {
		return d, errFilesFor(len(list))
	}
	send := func(ctx context.Context, t *Target, m ipc.Message) error {
		switch {
		case t.Err != nil:
			return t.Err
		case from != nil:
			return t.Peer.PostFor(ctx, *from, m)
		}
		return t.Peer.Post(ctx, m)
	}
	// Who has room gets it before anybody is waited for.
	errs := make([]error, len(list))
	var slow sync.WaitGroup
	ctx, cancel := context.WithTimeout(ctx, routeGrace)
	defer cancel()
	for i := range list {
		now := m
		now.NoWait = true
		if errs[i] = send(ctx, &list[i], now); errs[i] == ipc.ErrQueueFull && !m.NoWait {
			slow.Go(func() { // ends with ctx
				if err := send(ctx, &list[i], m); err != nil {
					errs[i] = fmt.Errorf("%w: %w", ipc.ErrQueueFull, err)
				} else {
					errs[i] = nil
				}
			})
		}
	}
	slow.Wait()
	defer func() {
		e.stats.messages.Add(uint64(d.Chosen))
		e.stats.unsent.Add(uint64(d.Chosen - d.Sent))
	}()
	for i, err := range errs {
		switch {
		case err == nil:
			d.Sent++
		case len(d.Failed) < ipc.MostFailed:
			d.Failed = append(d.Failed, ipc.Fail(list[i].WorkerInfo, err))
		}
	}
	return d, nil
}

func errFilesFor(n int) error {
	return &session.Error{Category: heddle.CategoryFramework, Code: ipc.CodeSelector, Msg: fmt.Sprintf("descriptors are for one worker, and %d were chosen", n)}
}

// closeAll closes what was not sent on; of the others that does nothing.
func closeAll(files []any) {
	for _, f := range files {
		_ = f.(*os.File).Close()
	}
}

// routeRequest is ipc.Router.Request.
func (e *Engine) routeRequest(ctx context.Context, text string, q *ipc.Question, first, gap time.Duration) error {
	from := e.who(q.Peer)
	list, err := e.choose(text, from)
	if err != nil {
		return err
	}
	query := ipc.Query{Namespace: q.Namespace, Topic: q.Topic, Body: ipc.Raw(q.Format, q.Payload), First: first, Gap: gap}
	for _, f := range q.TakeFiles() {
		query.Files = append(query.Files, f)
	}
	defer closeAll(query.Files)
	for a, err := range e.request(ctx, list, &from, query) {
		if err == nil {
			err = q.Answer(a)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Request asks all that the selector names, each by itself, and yields what comes of
// it: how many were chosen, and from each any number of replies and one end. The
// limits of q hold for each: one that is late, or dies, fails alone. An error is of
// the whole, and the last thing yielded. Whoever leaves the range has it cancelled
// everywhere.
func (e *Engine) Request(ctx context.Context, sel Selector, q ipc.Query) iter.Seq2[ipc.Answer, error] {
	return e.request(ctx, e.Select(sel), nil, q)
}

func (e *Engine) request(ctx context.Context, list []Target, from *WorkerInfo, q ipc.Query) iter.Seq2[ipc.Answer, error] {
	return func(yield func(ipc.Answer, error) bool) {
		if len(q.Files) > 0 && len(list) != 1 {
			yield(ipc.Answer{}, errFilesFor(len(list)))
			return
		}
		if !yield(ipc.Answer{Kind: ipc.AnswerChosen, Chosen: len(list)}, nil) {
			return
		}
		ctx, cancel := context.WithCancel(ctx)
		answers := make(chan ipc.Answer)
		var asking sync.WaitGroup
		defer asking.Wait() // behind cancel
		defer cancel()
		for i := range list {
			asking.Go(func() { inquire(ctx, &list[i], from, q, answers) }) // ends with ctx
		}
		for left := len(list); left > 0; {
			select {
			case a := <-answers:
				if a.Kind != ipc.AnswerReply {
					left--
					e.stats.requests.Add(1)
				}
				if a.Kind == ipc.AnswerFailed {
					e.stats.unanswered.Add(1)
				}
				if !yield(a, nil) {
					return
				}
			case <-ctx.Done():
				yield(ipc.Answer{}, fmt.Errorf("engine: request: %w", context.Cause(ctx)))
				return
			}
		}
	}
}

// inquire asks one, and says what comes of it.
func inquire(ctx context.Context, t *Target, from *WorkerInfo, q ipc.Query, answers chan<- ipc.Answer) {
	replies := t.Peer.Request
	if from != nil {
		replies = func(ctx context.Context, q ipc.Query) iter.Seq2[ipc.Reply, error] {
			return t.Peer.RequestFor(ctx, *from, q)
		}
	}
	tell := func(a ipc.Answer) bool {
		a.From = t.WorkerInfo
		select {
		case answers <- a:
			return true
		case <-ctx.Done():
			return false
		}
	}
	if t.Err != nil {
		tell(ipc.Answer{Kind: ipc.AnswerFailed, Err: t.Err})
		return
	}
	for r, err := range replies(ctx, q) {
		if err != nil {
			tell(ipc.Answer{Kind: ipc.AnswerFailed, Err: err})
			return
		}
		if !tell(ipc.Answer{Kind: ipc.AnswerReply, Reply: r}) {
			return
		}
	}
	tell(ipc.Answer{Kind: ipc.AnswerEnd})
}
