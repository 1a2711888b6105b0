package main

import (
	"github.com/heddle-go/heddle/cmd/internal/admin"
	"github.com/heddle-go/heddle/loop"
)

// openAdmin serves the pages of --admin, if it was given. What the daemon does
// is to be seen from before its workers start until they have left.
func (d *daemon) openAdmin() error {
	if d.o.admin.listen == "" {
		return nil
	}
	srv, err := d.o.admin.open(d.watched(), d.log)
	if err != nil {
		return err
	}
	d.admin = srv
	d.out.Printf("admin %s", d.admin.URL())
	return nil
}

// watched is the daemon as its pages show it.
func (d *daemon) watched() admin.Source {
	unrouted := ""
	if len(d.o.apps) == 0 {
		unrouted = d.title()
	}
	return admin.Source{
		State: func() string {
			d.mu.Lock()
			defer d.mu.Unlock()
			return d.state
		},
		Control: d.loop,
		Loops: func() []*loop.Loop {
			d.mu.Lock()
			defer d.mu.Unlock()
			if d.loops == nil {
				return nil
			}
			return d.loops.list
		},
		Front: func() admin.Front {
			d.mu.Lock()
			defer d.mu.Unlock()
			if d.state == stateStarting {
				return nil
			}
			return d.front // written before the state was
		},
		Apps: func() (list []admin.App) {
			for _, a := range d.running() {
				x := admin.App{Name: a.name, Deploys: &a.life.outcomes}
				if e := a.supervised(); e != nil {
					x.Engine = e
				}
				list = append(list, x)
			}
			return list
		},
		Cloud: func() admin.Cloud {
			d.mu.Lock()
			defer d.mu.Unlock()
			if d.cloud == nil {
				return nil
			}
			return d.cloud
		},
		Unrouted:     unrouted,
		DroppedLines: d.droppedLines,
	}
}

// droppedLines are those that were not written to standard error, to the access
// log and, by app, to its files.
func (d *daemon) droppedLines() map[string]uint64 {
	n := map[string]uint64{"stderr": uint64(d.out.Dropped())}
	d.mu.Lock()
	access := accessStats(d.access)
	d.mu.Unlock()
	if access != nil {
		n["access-log"] = uint64(access.Dropped)
	}
	for _, a := range d.running() {
		sink := "log-"
		if a.o.name != "" {
			sink = a.o.name + "/" + sink
		}
		for _, s := range a.output.Stats().Files {
			n[sink+s.Name] = uint64(s.Dropped)
		}
	}
	return n
}

// counted is a deploy's or rollback's end, as the metrics have it.
func (p *deployment) counted() {
	outcome := admin.Served
	switch p.res.State {
	case releaseServing, stateSuspended:
		if p.verb == topicRollback {
			outcome = admin.RolledBack
		}
	case stateWithdrawn:
		outcome = admin.Withdrawn
	case stateSuperseded:
		outcome = admin.Superseded
	case stateRefused:
		outcome = admin.Refused
	default:
		outcome = admin.Failed
	}
	p.lc.outcomes.Add(outcome)
}
