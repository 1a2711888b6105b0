package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"sync"

	"github.com/heddle-go/heddle/service/host"
	"github.com/heddle-go/heddle/session/ipc"
)

// mostVisits is how many clients of the control socket may have an app's sessions at
// once.
const mostVisits = 32

// visits are the clients of the control socket that open sessions of an app by
// themselves, as heddle bench does. Each has a small cloud of its own, on sockets in the
// daemon's directory, for as long as its question lasts.
type visits struct {
	mu   sync.Mutex
	shut chan struct{}  // closed when they have to end; nil: nobody has come yet
	over bool           // nobody may come any more
	n    int            // of those that are there
	came int            // in all
	wg   sync.WaitGroup // those that are there
}

// come counts a visit in. The daemon's loops run until left was called.
func (v *visits) come() (number int, shut <-chan struct{}, left func(), err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	switch {
	case v.over:
		return 0, nil, nil, errNotServing
	case v.n >= mostVisits:
		return 0, nil, nil, &failure{code: exitRefused, err: fmt.Errorf("%d others have sessions of apps, which is the limit", v.n), try: "try: again when one has ended"}
	}
	if v.shut == nil {
		v.shut = make(chan struct{})
	}
	v.n++
	v.came++
	v.wg.Add(1)
	return v.came, v.shut, func() {
		v.mu.Lock()
		v.n--
		v.mu.Unlock()
		v.wg.Done()
	}, nil
}

// end ends all visits. The loops run.
func (v *visits) end() {
	v.mu.Lock()
	if v.shut != nil && !v.over {
		close(v.shut)
	}
	v.over = true
	v.mu.Unlock()
	v.wg.Wait()
}

// answerSessions opens an app's service, as a cloud has it, where only this user
// reaches it, and says where. It is there until the client leaves or the daemon ends.
func (d *daemon) answerSessions(ctx context.Context, r *ipc.Request) error {
	of, err := d.appOf(r.Payload)
	if err != nil {
		return refuse(r, err)
	}
	e, err := d.serving(of)
	if err == nil && of.o.plain.http {
		err = &failure{code: exitRefused, err: fmt.Errorf("%s speaks plain HTTP, and knows no sessions", of.name), try: "try: heddle bench with a URL"}
	}
	if err != nil {
		return refuse(r, err)
	}
	number, shut, left, err := d.visits.come()
	if err != nil {
		return refuse(r, err)
	}
	defer left()
	c, err := host.Start(host.Options{Locator: "unix:" + filepath.Join(d.place.home, fmt.Sprintf("v%d", number)), Loops: d.loops.list, Logger: d.log})
	if err != nil {
		return refuse(r, fmt.Errorf("sessions: %w", err))
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.Background(), cloudWait)
		defer cancel()
		_ = c.Close(ctx) // once only
	}()
	a := host.App{Name: visitedApp, Opener: e}
	if of.o.foreign.is() {
		a.Serves = e.Serves
	}
	if err := c.AddApp(a); err != nil {
		return refuse(r, errors.Join(errors.New("sessions"), err))
	}
	p, err := json.Marshal(sessionsReply{Locator: c.Addr(), Service: visitedApp, App: of.name})
	if err == nil {
		err = r.Reply(p)
	}
	if err != nil {
		return err
	}
	select {
	case <-ctx.Done():
	case <-shut:
	}
	return nil
}
