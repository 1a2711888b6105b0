package worker

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/heddle-go/heddle/session/ipc"
)

// The functions of this file are about messages and requests (docs/messaging.md), and
// concern the process's own worker, like those of process.go: they may be called from
// the beginning of main on, by any goroutine. What is sent before the worker is
// connected waits, in order and bounded; what is sent to the worker waits until it is
// online, so register handlers before that.
//
// In a program that was started by hand they return ErrNotLaunched, under a plain
// Cocaine runtime an error that wraps errors.ErrUnsupported.
//
// Under heddle run --http the functions that send, and Ready, attach the process;
// HandleMessage, HandleRequest and ManualReady do not, so that they can all be called
// before Attach or Ready.

// HandleMessage makes h handle the messages of a topic in a namespace; "" is the
// default namespace "_", and the topic of the generic handler, which is called first.
// Messages come from the engine's program (its own, and from the heddle command), and
// from other workers: then Received.From says which. A nil h ends it. ipc.ErrName
// refuses a namespace.
func HandleMessage(namespace, topic string, h ipc.MessageHandler) error {
	t, err := talking()
	if err != nil {
		return err
	}
	return t.handle(namespace, func(ns *ipc.Namespace) { ns.Handle(topic, h) })
}

// HandleRequest is HandleMessage for requests.
func HandleRequest(namespace, topic string, h ipc.RequestHandler) error {
	t, err := talking()
	if err != nil {
		return err
	}
	return t.handle(namespace, func(ns *ipc.Namespace) { ns.HandleRequest(topic, h) })
}

// ManualReady has what is sent to this worker wait for Ready, and not only until the
// worker is online. It is called before that.
func ManualReady() error {
	t, err := talking()
	if err != nil {
		return err
	}
	t.setManual()
	return nil
}

// Ready says that these namespaces have their handlers, all of them if none is named:
// what waits for them may come, also before the worker is online. Without ManualReady
// being online says it of all.
func Ready(namespaces ...string) error {
	t, err := talking()
	if err != nil {
		return err
	}
	if err := t.ready(namespaces); err != nil {
		return err
	}
	return use()
}

// Engine is the engine's program as a peer, by which it and other workers are reached;
// the functions below are its methods. It is another one after each Connect. ErrClosed:
// the worker's life has ended.
func Engine() (*ipc.Peer, error) {
	t, err := talking()
	if err != nil {
		return nil, err
	}
	if err := use(); err != nil {
		return nil, err
	}
	return t.engine()
}

// Post sends a message to the engine's program, one way.
func Post(ctx context.Context, m ipc.Message) error {
	p, err := Engine()
	if err != nil {
		return err
	}
	return p.Post(ctx, m)
}

// Send is Post of a message that the handler there acknowledges.
func Send(ctx context.Context, m ipc.Message) (*ipc.Ack, error) {
	p, err := Engine()
	if err != nil {
		return nil, err
	}
	return p.Send(ctx, m)
}

// Ask is Send, and waits for the acknowledgement.
func Ask(ctx context.Context, m ipc.Message) (ipc.Reply, error) {
	p, err := Engine()
	if err != nil {
		return ipc.Reply{}, err
	}
	return p.Ask(ctx, m)
}

// Request asks the engine's program and yields its replies, as ipc.Peer.Request does.
func Request(ctx context.Context, q ipc.Query) iter.Seq2[ipc.Reply, error] {
	p, err := Engine()
	if err != nil {
		return func(yield func(ipc.Reply, error) bool) { yield(ipc.Reply{}, err) }
	}
	return p.Request(ctx, q)
}

// PostTo sends a message to the workers that the selector names, one way, by way of
// the engine: indexes and ranges ("0", "1-3"), "self", "$PID", ids, each with "!"
// before it for the others, or several with commas; "" is all active ones.
func PostTo(ctx context.Context, selector string, m ipc.Message) error {
	p, err := Engine()
	if err != nil {
		return err
	}
	return p.PostTo(ctx, selector, m)
}

// SendTo is PostTo, and returns who got it.
func SendTo(ctx context.Context, selector string, m ipc.Message) (ipc.Delivery, error) {
	p, err := Engine()
	if err != nil {
		return ipc.Delivery{}, err
	}
	return p.SendTo(ctx, selector, m)
}

// RequestTo asks the workers that the selector names, and yields what comes of it, as
// ipc.Peer.RequestTo does.
func RequestTo(ctx context.Context, selector string, q ipc.Query) iter.Seq2[ipc.Answer, error] {
	p, err := Engine()
	if err != nil {
		return func(yield func(ipc.Answer, error) bool) { yield(ipc.Answer{}, err) }
	}
	return p.RequestTo(ctx, selector, q)
}

// talking is the process's own.
func talking() (*talk, error) {
	switch {
	case launched.err != nil:
		return nil, launched.err
	case launched.launch == nil:
		return nil, ErrNotLaunched
	case !launched.launch.Heddle:
		return nil, errPlainTalk
	}
	return launched.standing.talk, nil
}

// errPlainTalk is what all of these say under a Cocaine runtime.
var errPlainTalk = fmt.Errorf("worker: a Cocaine runtime has no messages: %w", errors.ErrUnsupported)

// HandleMessage is the function of that name for this Worker; those of a process's own
// launch share their handlers. errors.ErrUnsupported is wrapped: by a Cocaine runtime.
func (w *Worker) HandleMessage(namespace, topic string, h ipc.MessageHandler) error {
	if !w.launch.Heddle {
		return errPlainTalk
	}
	return w.standing.talk.handle(namespace, func(ns *ipc.Namespace) { ns.Handle(topic, h) })
}

// HandleRequest is the function of that name for this Worker.
func (w *Worker) HandleRequest(namespace, topic string, h ipc.RequestHandler) error {
	if !w.launch.Heddle {
		return errPlainTalk
	}
	return w.standing.talk.handle(namespace, func(ns *ipc.Namespace) { ns.HandleRequest(topic, h) })
}

// ManualReady is the function of that name for this Worker.
func (w *Worker) ManualReady() error {
	if !w.launch.Heddle {
		return errPlainTalk
	}
	w.standing.talk.setManual()
	return nil
}

// Ready is the function of that name for this Worker.
func (w *Worker) Ready(namespaces ...string) error {
	if !w.launch.Heddle {
		return errPlainTalk
	}
	return w.standing.talk.ready(namespaces)
}

// Engine is the engine's program as a peer: see the function of that name.
func (w *Worker) Engine() (*ipc.Peer, error) {
	if !w.launch.Heddle {
		return nil, errPlainTalk
	}
	return w.standing.talk.engine()
}
