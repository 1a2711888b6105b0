package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/heddle-go/heddle/session/ipc"
	"github.com/heddle-go/heddle/worker/engine"
)

// This file answers clients of Nodesockd on the control socket, which speak lines of
// JSON. What they may ask, and what comes of it, is in docs/messaging.md.

// Their clients wait 30 s for an answer, so those to send-app-req end before: all
// workers' replies are one answer, since what comes close behind the first line they lose.
const (
	lineFirst   = 20 * time.Second
	lineLimit   = 25 * time.Second
	lineReplies = 3 << 20 // bytes of all replies; a line may have 4 MiB
)

// What all clients together may have under way of send-app-msg and send-app-req: of the
// daemon's own orders others are answered beside them.
const (
	lineTalks = 64       // at once
	lineBytes = 32 << 20 // of data that came and of replies that are gathered, until the client has them
)

// A lineRoom counts what is under way. The zero value is ready; any goroutine.
type lineRoom struct {
	mu           sync.Mutex
	talks, bytes int
}

// A lineShare is what one of them has of a lineRoom.
type lineShare struct {
	room  *lineRoom
	bytes int
}

// enter gives one more its share, of which leave is to be called, or says why not.
func (r *lineRoom) enter() (*lineShare, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.talks >= lineTalks {
		return nil, fmt.Errorf("%d messages and requests to workers are under way, which is the limit of lines; try again", r.talks)
	}
	r.talks++
	return &lineShare{room: r}, nil
}

// take books n bytes more.
func (s *lineShare) take(n int) error {
	r := s.room
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.bytes+n > lineBytes {
		return fmt.Errorf("what lines have under way to workers and back has more than %d bytes in all; try again, or with heddle send-req", lineBytes)
	}
	r.bytes += n
	s.bytes += n
	return nil
}

func (s *lineShare) leave() {
	s.room.mu.Lock()
	s.room.talks--
	s.room.bytes -= s.bytes
	s.room.mu.Unlock()
}

// A lineOrder is the data of their requests; each type reads its own fields.
type lineOrder struct {
	App string `json:"app"` // ours: which of several

	Suspended bool `json:"suspended"` // restart-workers, start-workers
	Count     *int `json:"count"`     // set-worker-count, set-standby-count

	Message string          `json:"message"` // send-app-msg
	Request string          `json:"request"` // send-app-req
	Data    json.RawMessage `json:"data"`
	Workers string          `json:"workers"`
}

// answerLine is the control socket's ipc.LineHandler.
func (d *daemon) answerLine(ctx context.Context, l *ipc.Line) (any, error) {
	var o lineOrder
	if l.Data != nil {
		if p := bytes.TrimSpace(l.Data); p[0] != '{' && string(p) != "null" {
			return nil, fmt.Errorf("data of %.64q is no object", l.Type)
		}
		if err := json.Unmarshal(l.Data, &o); err != nil {
			return nil, fmt.Errorf("data of %.64q: %w", l.Type, err)
		}
	}
	last, err := d.carryOut(ctx, l, &o)
	var f *failure
	if errors.As(err, &f) {
		err = errors.New(f.err.Error()) // what to try is for our command line
		if apps, ok := strings.CutPrefix(f.try, tryApps); ok {
			err = fmt.Errorf("%w; \"app\" in data is one of %s", err, apps)
		}
	}
	return last, err
}

func (d *daemon) carryOut(ctx context.Context, l *ipc.Line, o *lineOrder) (any, error) {
	if !l.Asks {
		return nil, ipc.ErrUnknownType // of their messages all are from workers
	}
	if o.App != "" && (l.Type == "reload" || l.Type == "terminate") {
		return nil, fmt.Errorf("%s concerns the whole daemon, with all its apps; it takes no app", l.Type)
	}
	switch l.Type { // of the daemon
	case "reload":
		_, err := d.reload(context.WithoutCancel(ctx), l.PID)
		return nil, err
	case "terminate":
		d.log.Info("stop", "pid", l.PID)
		d.sig.ask(fmt.Errorf("%w (terminate%s)", errInterrupted, by(l.PID)))
		return map[string]int{"pid": os.Getpid()}, nil
	case "stop-workers":
		return nil, errors.New("workers stop with their daemon alone: terminate does that, and heddle suspend holds requests back")
	}
	a, err := d.appNamed(o.App)
	if err != nil {
		return nil, err
	}
	silent := &asker{gone: true, order: order{Pid: l.PID, Workers: -1, Standbys: -1}}
	switch l.Type {
	case "status":
		return d.lineStatus(a), nil
	case "start-workers": // they have been since the daemon was
		_, err = a.life.supervisor()
	case "restart-workers":
		if o.Suspended {
			return nil, errors.New("a restart cannot be suspended here: heddle deploy --suspended is what does that")
		}
		_, err = a.life.restart(ctx, silent)
		return map[string]int{"pid": os.Getpid()}, err
	case "resume-workers":
		_, err = a.life.resume(ctx, silent)
	case "set-worker-count", "set-standby-count":
		if o.Count == nil || *o.Count < 0 {
			return nil, fmt.Errorf("%s: count is no number of workers", l.Type)
		}
		if silent.order.Workers = *o.Count; l.Type == "set-standby-count" {
			silent.order.Workers, silent.order.Standbys = -1, *o.Count
		}
		_, err = a.life.scale(ctx, silent)
	case "send-app-msg", "send-app-req":
		share, err := d.lines.enter()
		if err != nil {
			return nil, err
		}
		l.Ended = share.leave
		switch err := share.take(len(l.Data)); {
		case err != nil:
			return nil, err
		case l.Type == "send-app-msg":
			return nil, d.lineMessage(ctx, a, o)
		}
		return d.lineRequest(ctx, a, o, share)
	default:
		return nil, ipc.ErrUnknownType
	}
	return nil, err
}

// A lineWorker is a worker in the answer to their status.
type lineWorker struct {
	ID    string `json:"id"`
	State string `json:"state"`
	Since int64  `json:"stateTs"`       // ms since 1970
	Index *int   `json:"idx,omitempty"` // none: a standby
	Pid   int    `json:"pid"`
}

func (d *daemon) lineStatus(a *app) any {
	st := struct {
		Pid     int          `json:"pid"`
		Version string       `json:"version"`
		Started int64        `json:"startTs"` // ms since 1970
		Workers []lineWorker `json:"workers"`
	}{os.Getpid(), "heddle", d.started.UnixMilli(), []lineWorker{}}
	if e := a.supervised(); e != nil {
		for _, w := range e.Status().Workers {
			lw := lineWorker{ID: w.ID, State: w.State, Since: w.Since.UnixMilli(), Pid: w.Pid}
			if !w.Standby {
				lw.Index = &w.Index
			}
			st.Workers = append(st.Workers, lw)
		}
	}
	return st
}

// lineTo is whom something is for, and what it carries.
func (d *daemon) lineTo(a *app, o *lineOrder, topic string) (e *engine.Engine, sel engine.Selector, b ipc.Body, err error) {
	if topic == "" {
		return nil, sel, b, errors.New(`data has no name: "message" of send-app-msg, "request" of send-app-req`)
	}
	if sel, err = engine.ParseSelector(o.Workers); err != nil {
		return nil, sel, b, err
	}
	switch p := bytes.TrimSpace(o.Data); {
	case len(p) == 0, string(p) == "null":
	case p[0] != '{':
		return nil, sel, b, errors.New("data is no object")
	default:
		b = ipc.RawJSON(p)
	}
	e, err = d.serving(a)
	return e, sel, b, err
}

// lineMessage answers send-app-msg: nothing, unless it got lost on the way.
func (d *daemon) lineMessage(ctx context.Context, a *app, o *lineOrder) error {
	e, sel, b, err := d.lineTo(a, o, o.Message)
	if err != nil {
		return err
	}
	got, err := e.Post(ctx, sel, ipc.Message{Topic: o.Message, Body: b})
	var errs []error
	for i := range got.Failed {
		errs = append(errs, fmt.Errorf("worker %s: %s", got.Failed[i].ID, got.Failed[i].Text))
	}
	return errors.Join(append(errs, err)...)
}

// A lineSample is what came of a worker in the answer to send-app-req.
type lineSample struct {
	ID     string          `json:"id"`
	Pid    int             `json:"pid"`
	Data   json.RawMessage `json:"data,omitempty"`
	Errors []string        `json:"errors,omitempty"`
}

// lineRequest answers send-app-req with an array of samples, which share books.
func (d *daemon) lineRequest(ctx context.Context, a *app, o *lineOrder, share *lineShare) (any, error) {
	e, sel, b, err := d.lineTo(a, o, o.Request)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, lineLimit, fmt.Errorf("not all workers have ended their replies within %v", lineLimit))
	defer cancel()
	samples, size := []lineSample{}, 0
	replied := make(map[string]bool)
	for got, err := range e.Request(ctx, sel, ipc.Query{Topic: o.Request, Body: b, First: lineFirst}) {
		if err != nil {
			samples = append(samples, lineSample{Errors: []string{err.Error()}})
			break
		}
		s := lineSample{ID: got.From.ID, Pid: got.From.Pid}
		switch got.Kind {
		case ipc.AnswerChosen:
			continue
		case ipc.AnswerReply:
			var one said
			if err := one.put(&got.Reply); err != nil { // its worker's fault alone
				s.Errors = []string{err.Error()}
			} else if s.Data = one.Data; one.Base64 != nil {
				s.Data = marshal(one.Base64)
			}
			replied[s.ID] = true
		case ipc.AnswerEnd:
			if replied[s.ID] {
				continue
			}
		case ipc.AnswerFailed:
			var one said
			one.failed(got.Err)
			s.Errors = []string{one.Error.Text}
		}
		n := len(s.Data) + 128
		if err := share.take(n); err != nil {
			return nil, err
		}
		if size += n; size > lineReplies {
			return nil, fmt.Errorf("the replies have more than %d bytes in all; heddle send-req prints them one by one", lineReplies)
		}
		samples = append(samples, s)
	}
	return samples, nil
}
