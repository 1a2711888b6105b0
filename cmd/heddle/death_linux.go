package main

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/heddle-go/heddle/worker/engine"
)

const (
	keptDeaths = 20
	dumpLimit  = 1 << 20 // bytes of goroutines that a record keeps
)

// Deaths are the records of the workers that ended without having been asked
// to, or had to be asked for their goroutines first: DIR/000001.json and so on, with the goroutines of one that hung in
// DIR/000001.goroutines. The newest are kept, until the daemon ends.
type deaths struct {
	dir  string
	log  *slog.Logger
	in   chan engine.Death
	quit chan struct{} // closed by close
	done chan struct{} // closed when the writing goroutine has ended
}

// A deathRecord is engine.Death as JSON.
type deathRecord struct {
	When       time.Time `json:"when"`
	Index      int       `json:"index"`
	ID         string    `json:"id"`
	Pid        int       `json:"pid"`
	Release    string    `json:"release"`
	Exit       int       `json:"exit"` // -1: by a signal, or never started
	Signal     string    `json:"signal,omitempty"`
	Reason     string    `json:"reason"`
	Uptime     float64   `json:"uptime"` // seconds
	Served     float64   `json:"served"` // seconds
	Lost       []string  `json:"lost"`   // request ids
	Stderr     []string  `json:"stderr"`
	Goroutines string    `json:"goroutines,omitempty"` // path
}

func newDeaths(dir string, log *slog.Logger) *deaths {
	d := &deaths{dir: dir, log: log, in: make(chan engine.Death, keptDeaths), quit: make(chan struct{}), done: make(chan struct{})}
	go d.write() // ends with close
	return d
}

// add takes a death. It never waits: the disk may be slow, and the engine is
// not.
func (d *deaths) add(death engine.Death) {
	if death.Expected && len(death.Dump) == 0 {
		return
	}
	select {
	case d.in <- death:
	default:
		d.log.Warn("a worker's crash record was dropped: the disk does not keep up", "index", death.Index, "pid", death.Pid)
	}
}

// close writes what waits.
func (d *deaths) close() {
	close(d.quit)
	<-d.done
}

func (d *deaths) write() {
	defer close(d.done)
	for n := 1; ; n++ {
		var death engine.Death
		select {
		case death = <-d.in:
		default:
			select {
			case death = <-d.in:
			case <-d.quit:
				return
			}
		}
		path := filepath.Join(d.dir, fmt.Sprintf("%06d", n))
		if err := writeDeath(d.dir, path, death, time.Now()); err != nil {
			d.log.Warn("a worker's crash record cannot be kept", "index", death.Index, "pid", death.Pid, "err", err)
			continue
		}
		d.log.Info("crash record", "path", path+".json", "index", death.Index, "pid", death.Pid, "release", death.Release, "reason", death.Reason)
		d.forget()
	}
}

// writeDeath writes PATH.json and, if the worker was asked for its goroutines,
// PATH.goroutines.
func writeDeath(dir, path string, death engine.Death, now time.Time) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	r := deathRecord{
		When: now, Index: death.Index, ID: death.ID, Pid: death.Pid, Release: death.Release, Exit: death.ExitCode, Signal: death.Signal,
		Reason: death.Reason, Uptime: death.Uptime.Seconds(), Served: death.Served.Seconds(), Lost: []string{}, Stderr: death.Stderr,
	}
	for _, l := range death.Lost {
		r.Lost = append(r.Lost, l.RequestID)
	}
	if len(death.Dump) > 0 {
		text := strings.Join(death.Dump, "\n") + "\n"
		if len(text) > dumpLimit {
			text = text[:dumpLimit] + "\ncut off here\n"
		}
		r.Goroutines = path + ".goroutines"
		if err := os.WriteFile(r.Goroutines, []byte(text), 0o600); err != nil {
			return err
		}
	}
	b, err := json.MarshalIndent(r, "", "\t")
	if err != nil {
		return err
	}
	err = os.WriteFile(path+".json", append(b, '\n'), 0o600)
	if err != nil {
		_ = os.Remove(path + ".json") // half of it is of no use
	}
	return err
}

// forget removes the oldest records beyond the limit.
func (d *deaths) forget() {
	records, err := filepath.Glob(filepath.Join(d.dir, "*.json"))
	if err != nil || len(records) <= keptDeaths {
		return
	}
	slices.Sort(records)
	for _, path := range records[:len(records)-keptDeaths] {
		_ = os.Remove(path)
		_ = os.Remove(strings.TrimSuffix(path, ".json") + ".goroutines") // most have none
	}
}
