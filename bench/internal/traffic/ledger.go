package traffic

import (
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"
)

// A Count is what became of requests. Sent is the sum of OK, Lost, Refused and
// Stale once nothing is under way.
type Count struct {
	Sent    int `json:"sent"`
	OK      int `json:"ok"`
	Lost    int `json:"lost"`       // no whole and right answer
	Refused int `json:"refused"`    // answered with 503
	Stale   int `json:"stale"`      // answered well, by a worker that should have had no work any more
	Twice   int `json:"duplicated"` // served more than once
}

// Plus is the sum of both.
func (c Count) Plus(d Count) Count {
	return Count{c.Sent + d.Sent, c.OK + d.OK, c.Lost + d.Lost, c.Refused + d.Refused, c.Stale + d.Stale, c.Twice + d.Twice}
}

// A Failure is a request that was not answered as it should have been.
type Failure struct {
	ID     string        `json:"id"`
	Kind   string        `json:"kind"`
	What   string        `json:"what"` // lost, refused or stale
	Why    string        `json:"why"`
	Worker string        `json:"worker,omitempty"` // who had begun to answer, if anybody
	Sent   time.Time     `json:"sent"`
	Took   time.Duration `json:"took_ns"`
}

// errRefused is the outcome of a request that was answered with 503.
var errRefused = errors.New("503")

// An answer says who gave it.
type answer struct {
	worker string // id
	marker string // of its program
	last   bool   // its connection has no further one
}

// A rule says who may answer a request.
type rule struct {
	retired map[string]bool // workers' ids
	marker  string          // of the only program that may answer as long as this rule holds; "": any
}

// A ticket is a request under way.
type ticket struct {
	id   string
	kind Kind
	sent time.Time
	rule *rule // when it was sent
}

// A ledger knows every request's fate.
type ledger struct {
	run      string // makes ids unique among the drivers of one witness
	answered func(worker string, at time.Time)

	mu       sync.Mutex
	counts   [Kinds]Count
	failures []Failure
	worst    [Kinds]time.Duration // of what went well
	ids      uint64
	rule     *rule
}

func newLedger(run string, answered func(string, time.Time)) *ledger {
	return &ledger{run: run, answered: answered, rule: &rule{}}
}

// begin is called right before a request's first byte is sent.
func (l *ledger) begin(k Kind) ticket {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ids++
	l.counts[k].Sent++
	return ticket{id: fmt.Sprintf("%s-%s-%d", table[k].key, l.run, l.ids), kind: k, sent: time.Now(), rule: l.rule}
}

// end judges what came of a request: a whole answer, or an error.
func (l *ledger) end(tk ticket, a answer, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c, took := &l.counts[tk.kind], time.Since(tk.sent)
	what, why := "", ""
	switch {
	case errors.Is(err, errRefused):
		c.Refused++
		what, why = "refused", err.Error()
	case err != nil:
		c.Lost++
		what, why = "lost", err.Error()
	case tk.rule.retired[a.worker]:
		c.Stale++
		what, why = "stale", "the worker was without work when the request was sent"
	case tk.rule == l.rule && tk.rule.marker != "" && tk.rule.marker != a.marker:
		c.Stale++
		what, why = "stale", fmt.Sprintf("program %s answered; only %s serves", a.marker, tk.rule.marker)
	default:
		c.OK++
		l.worst[tk.kind] = max(l.worst[tk.kind], took)
		if l.answered != nil {
			l.answered(a.worker, tk.sent.Add(took))
		}
		return
	}
	l.failures = append(l.failures, Failure{ID: tk.id, Kind: tk.kind.String(), What: what, Why: why, Worker: a.worker, Sent: tk.sent, Took: took})
}

// expect makes the rule for requests sent from now on.
func (l *ledger) expect(marker string, retired []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	next := &rule{marker: marker, retired: maps.Clone(l.rule.retired)}
	if next.retired == nil {
		next.retired = make(map[string]bool)
	}
	for _, id := range retired {
		next.retired[id] = true
	}
	l.rule = next
}
