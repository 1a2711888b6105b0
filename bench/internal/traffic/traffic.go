package traffic

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"time"
)

// Options say what traffic there is. All but Addr and Witness have defaults.
type Options struct {
	Addr    string // host:port
	Witness string // file in which the app names what it served
	Run     string // a word that this driver alone puts into its ids

	Clients  [Kinds]int    // of each kind; if there is none at all: of each, the default
	Pause    time.Duration // between two requests of a client, half to one and a half of it; below zero: none
	Size     int64         // bytes, of an upload and of a download
	Stream   time.Duration // how long a stream lasts
	Linger   time.Duration // how long every other WebSocket stays with a worker that is drained
	Patience time.Duration // an answer that takes longer is none

	// Answered is told of each good answer, one after the other; it must not
	// block.
	Answered func(worker string, at time.Time)
}

func (o Options) withDefaults() Options {
	if o.Run == "" {
		o.Run = "1"
	}
	if o.Clients == [Kinds]int{} {
		o.Clients = [Kinds]int{KeptGet: 4, ClosingGet: 2, KeptPost: 4, ClosingPost: 2, Upload: 2, Download: 2, Events: 4, Socket: 4}
	}
	if o.Pause == 0 {
		o.Pause = 5 * time.Millisecond
	}
	if o.Size == 0 {
		o.Size = 2 << 20
	}
	if o.Stream == 0 {
		o.Stream = 3 * time.Second
	}
	if o.Linger == 0 {
		o.Linger = 2 * time.Second
	}
	if o.Patience == 0 {
		o.Patience = 30 * time.Second
	}
	return o
}

// A Traffic is clients at work.
type Traffic struct {
	o        Options
	ledger   *ledger
	ctx      context.Context // ends what is under way
	abort    context.CancelFunc
	stopping chan struct{} // closed when nothing new is to begin
	stop     func()
	wg       sync.WaitGroup
}

// Start begins to ask, until Stop is called or ctx ends.
func Start(ctx context.Context, o Options) *Traffic {
	o = o.withDefaults()
	t := &Traffic{o: o, ledger: newLedger(o.Run, o.Answered), stopping: make(chan struct{})}
	t.ctx, t.abort = context.WithCancel(ctx)
	t.stop = sync.OnceFunc(func() { close(t.stopping) })
	for k, n := range o.Clients {
		for client := range n {
			t.wg.Go(func() { t.client(Kind(k), client) }) // ends with stopping or ctx
		}
	}
	return t
}

// Expect says who may answer requests that are sent from now on: none of the
// workers that have ever been named as retired, by their ids, and, until Expect
// is called again, nobody but the program with the marker, unless that is "".
func (t *Traffic) Expect(marker string, retired ...string) { t.ledger.expect(marker, retired) }

// Counts are those so far, by kind. Duplicates are known after Stop.
func (t *Traffic) Counts() [Kinds]Count {
	t.ledger.mu.Lock()
	defer t.ledger.mu.Unlock()
	return t.ledger.counts
}

// Total is the sum of Counts.
func (t *Traffic) Total() (sum Count) {
	for _, c := range t.Counts() {
		sum = sum.Plus(c)
	}
	return sum
}

// Failures are the requests that were lost, refused or stale so far.
func (t *Traffic) Failures() []Failure {
	t.ledger.mu.Lock()
	defer t.ledger.mu.Unlock()
	return slices.Clone(t.ledger.failures)
}

// Worst is how long the slowest good answer of each kind took.
func (t *Traffic) Worst() [Kinds]time.Duration {
	t.ledger.mu.Lock()
	defer t.ledger.mu.Unlock()
	return t.ledger.worst
}

// Await waits until each kind that has clients has had n more good answers.
func (t *Traffic) Await(ctx context.Context, n int) error {
	first := t.Counts()
	for {
		behind, now := "", t.Counts()
		for k, c := range now {
			if t.o.Clients[k] > 0 && c.OK < first[k].OK+n {
				behind = Kind(k).String()
			}
		}
		if behind == "" {
			return nil
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("traffic: no good answer for %s: %w; so far %+v", behind, context.Cause(ctx), t.Total())
		}
	}
}

// Stop begins nothing new, waits for what is under way, for as long as grace,
// and counts what was served twice. What is not over then is lost.
func (t *Traffic) Stop(grace time.Duration) error {
	t.stop()
	late := time.AfterFunc(grace, t.abort)
	t.wg.Wait()
	late.Stop()
	t.abort()
	f, err := os.Open(t.o.Witness)
	if errors.Is(err, os.ErrNotExist) && t.Total().OK == 0 {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	return t.ledger.audit(f)
}

// going says whether another request may begin.
func (t *Traffic) going() bool {
	select {
	case <-t.stopping:
		return false
	case <-t.ctx.Done():
		return false
	default:
		return true
	}
}

// asks holds how each kind is asked.
var asks = [Kinds]func(t *Traffic, c *conn, tk ticket, client int) (answer, error){
	KeptGet:     (*Traffic).askGet,
	ClosingGet:  (*Traffic).askGet,
	KeptPost:    (*Traffic).askPost,
	ClosingPost: (*Traffic).askPost,
	Upload:      (*Traffic).askUpload,
	Download:    (*Traffic).askDownload,
	Events:      (*Traffic).askEvents,
	Socket:      (*Traffic).askSocket,
}

// client asks in one way, one request after the other.
func (t *Traffic) client(k Kind, n int) {
	var c *conn
	defer func() { c.close() }()
	for {
		pause := time.Duration(float64(max(t.o.Pause, 0)) * (0.5 + rand.Float64()))
		if c != nil && !c.rest(pause) {
			c.close() // by the server, between two requests
			c = nil
		} else if c == nil {
			time.Sleep(pause)
		}
		if !t.going() {
			return
		}
		if c == nil {
			var err error
			if c, err = t.dial(); err != nil {
				if t.ctx.Err() != nil {
					return
				}
				t.ledger.end(t.ledger.begin(k), answer{}, err)
				time.Sleep(20 * time.Millisecond) // nobody listens just now
				continue
			}
		}
		tk := t.ledger.begin(k)
		a, err := asks[k](t, c, tk, n)
		t.ledger.end(tk, a, err)
		if err != nil || a.last || !table[k].kept {
			c.close()
			c = nil
		}
	}
}
