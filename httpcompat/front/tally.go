package front

import (
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/heddle-go/heddle/internal/histogram"
)

// A Tally is what a Server has counted of the requests that one channel's tag
// stands for: see session.Mux, SetTag. A request belongs to the channel that it
// was given to last.
type Tally struct {
	Tag     any // nil: of requests that were given to nobody
	Answers []Answers
	Broken  uint64 // answers that broke off behind their head, and their connections with them

	// Durations are from a request's head until its answer was written, without
	// those of connections that were taken over.
	Durations histogram.Snapshot
}

// Answers are how many requests of a method had one outcome.
type Answers struct {
	Method string // GET, HEAD, POST, PUT, PATCH, DELETE or other
	Code   int    // status that was sent; 499: the client did not stay for the end; 101: the connection was taken over; 0: it broke without a status
	N      uint64
}

// A method is one of those that are counted apart.
type method uint8

const (
	otherMethod method = iota
	getMethod
	headMethod
	postMethod
	putMethod
	patchMethod
	deleteMethod
	methods
)

var methodNames = [methods]string{"other", http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete}

func methodOf(name string) method {
	switch name {
	case http.MethodGet:
		return getMethod
	case http.MethodHead:
		return headMethod
	case http.MethodPost:
		return postMethod
	case http.MethodPut:
		return putMethod
	case http.MethodPatch:
		return patchMethod
	case http.MethodDelete:
		return deleteMethod
	}
	return otherMethod
}

// Statuses are from 100 to 999, as heads have them, or 0.
const (
	leastCode = 100
	mostCode  = 999
)

// A tally counts one tag's requests. One lane writes, or net/http's goroutines
// do; anybody reads.
type tally struct {
	tag       any
	codes     [methods]atomic.Pointer[codes] // nil: none yet
	broken    atomic.Uint64
	durations histogram.Histogram
}

// codes count by status: 0 first, then those from leastCode on.
type codes [mostCode - leastCode + 2]atomic.Uint64

// add counts a request; d is how long it took, negative if that is not to be
// told.
func (t *tally) add(m method, code int, d time.Duration) {
	c := t.codes[m].Load()
	if c == nil { // the first of its method
		t.codes[m].CompareAndSwap(nil, new(codes))
		c = t.codes[m].Load()
	}
	i := 0
	if code >= leastCode && code <= mostCode {
		i = code - leastCode + 1
	}
	c[i].Add(1)
	if d >= 0 {
		t.durations.Observe(d)
	}
}

// addTo adds what was counted to a Tally.
func (t *tally) addTo(out *Tally) {
	for m := range t.codes {
		c := t.codes[m].Load()
		if c == nil {
			continue
		}
		for i := range c {
			n := c[i].Load()
			if n == 0 {
				continue
			}
			a := Answers{Method: methodNames[m], N: n}
			if i > 0 {
				a.Code = leastCode + i - 1
			}
			at := slices.IndexFunc(out.Answers, func(o Answers) bool { return o.Method == a.Method && o.Code == a.Code })
			if at < 0 {
				out.Answers = append(out.Answers, a)
			} else {
				out.Answers[at].N += n
			}
		}
	}
	out.Broken += t.broken.Load()
	t.durations.AddTo(&out.Durations)
}

// tallies are those of a lane, or of net/http's side.
type tallies struct {
	list atomic.Pointer[[]*tally] // newest first; replaced whole under mu
	mu   sync.Mutex
}

// mostTallies is how many tags are told apart; those above that are counted as
// nobody's. It is there for a caller who never forgets one.
const mostTallies = 1024

// of is a tag's tally. There are few: those of the releases that have workers,
// and of some before.
func (ts *tallies) of(tag any) *tally {
	if p := ts.list.Load(); p != nil {
		for _, t := range *p {
			if t.tag == tag {
				return t
			}
		}
	}
	return ts.enter(tag)
}

// enter adds a tag's tally.
func (ts *tallies) enter(tag any) *tally {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	var list []*tally
	if p := ts.list.Load(); p != nil {
		list = *p
	}
	if len(list) >= mostTallies {
		tag = nil
	}
	for _, t := range list {
		if t.tag == tag {
			return t
		}
	}
	t := &tally{tag: tag}
	list = append([]*tally{t}, list...)
	ts.list.Store(&list)
	return t
}

// forget drops tallies.
func (ts *tallies) forget(drop func(tag any) bool) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	p := ts.list.Load()
	if p == nil {
		return
	}
	list := slices.DeleteFunc(slices.Clone(*p), func(t *tally) bool { return t.tag != nil && drop(t.tag) })
	ts.list.Store(&list)
}

// Tallies is what was counted until now, by tag; nothing without
// Options.Tallies. After Serve.
func (s *Server) Tallies() (list []Tally) {
	s.eachTallies(func(ts *tallies) {
		p := ts.list.Load()
		if p == nil {
			return
		}
		for _, t := range *p {
			at := slices.IndexFunc(list, func(o Tally) bool { return o.Tag == t.tag })
			if at < 0 {
				at = len(list)
				list = append(list, Tally{Tag: t.tag})
			}
			t.addTo(&list[at])
		}
	})
	return list
}

// ForgetTallies drops what was counted for tags that drop says are of no
// interest any more. A request of theirs that ends later begins anew. After
// Serve.
func (s *Server) ForgetTallies(drop func(tag any) bool) {
	s.eachTallies(func(ts *tallies) { ts.forget(drop) })
}

func (s *Server) eachTallies(f func(*tallies)) {
	for _, ln := range s.lanes {
		f(&ln.tallies)
	}
	f(&s.tallies)
}
