package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/heddle-go/heddle/session/ipc"
)

// orderTopics are those that an app's lifecycle answers with events.
var orderTopics = [...]string{topicDeploy, topicRollback, topicScale, topicRestart, topicSuspend, topicResume}

// takeOrders has the control socket answer what verbs ask of the apps.
func (d *daemon) takeOrders(s *ipc.Server) {
	for _, topic := range orderTopics {
		s.Handle(topic, func(ctx context.Context, r *ipc.Request) error {
			a := &asker{reply: r.Reply, files: r.TakeFiles()}
			of, err := d.appOf(r.Payload)
			if err != nil {
				a.end(&result{Name: d.title(), State: stateRefused}, err)
				return nil
			}
			return of.life.answer(ctx, a, r.Payload, of.life.topics()[topic])
		})
	}
	s.Handle(topicReload, func(ctx context.Context, r *ipc.Request) error {
		a := &asker{reply: r.Reply}
		if err := a.read(r.Payload); err != nil {
			a.end(&result{Name: d.title(), State: stateRefused}, err)
			return nil
		}
		res, err := d.answerReload(context.WithoutCancel(ctx), a) // half a reload is nothing that anybody wants
		a.end(res, err)
		return nil
	})
	s.Handle(topicLogs, d.answerLogs)
	s.Handle(topicSessions, d.answerSessions)
	s.Handle(topicNotices, d.answerNotices)
	s.Handle(topicWithdraw, func(_ context.Context, r *ipc.Request) error {
		a := &asker{reply: r.Reply}
		of, err := d.appOf(r.Payload)
		if err == nil {
			err = a.read(r.Payload)
		}
		if err != nil {
			return err
		}
		a.say(event{Event: eventDone, Done: of.life.withdraw(a.order)})
		return nil
	})
	s.Handle(topicReleases, func(_ context.Context, r *ipc.Request) error {
		of, err := d.appOf(r.Payload)
		if err != nil {
			return refuse(r, err)
		}
		p, err := json.Marshal(of.life.list())
		if err != nil {
			return err
		}
		return r.Reply(p)
	})
}

// refuse answers a question that has one answer with a failure instead.
func refuse(r *ipc.Request, err error) error {
	p, err := json.Marshal(refusal{Failure: failureOf(err)})
	if err != nil {
		return err
	}
	return r.Reply(p)
}

// appOf is the app that an order, or a question without one, is for.
func (d *daemon) appOf(payload []byte) (*app, error) {
	var asked struct {
		App string `json:"app"`
	}
	if len(payload) > 0 {
		if err := json.Unmarshal(payload, &asked); err != nil {
			return nil, &failure{code: exitError, err: fmt.Errorf("the daemon does not understand what it was asked: %w", err), fine: "nothing was changed.", try: "try: heddle version; the daemon may be of another one"}
		}
	}
	return d.appNamed(asked.App)
}

// tryApps is what to try for who names none of several apps; behind it they are listed.
const tryApps = "try: --app with one of "

// appNamed is the app of that name; "" is the only one.
func (d *daemon) appNamed(name string) (*app, error) {
	all := d.running()
	var names []string
	for _, a := range all {
		if a.name == name || name == "" && len(all) == 1 {
			return a, nil
		}
		names = append(names, a.name)
	}
	f := &failure{code: exitUsage, err: fmt.Errorf("no app named %s is run by %s", printable(name), d.title()), fine: "nothing was changed.", try: tryApps + strings.Join(names, ", ")}
	switch {
	case len(all) == 0:
		f.code, f.err, f.try = exitRefused, fmt.Errorf("the daemon is still starting"), "try: again when heddle status says serving"
	case name == "":
		f.err = fmt.Errorf("%s runs several apps", d.title())
	}
	return nil, f
}
