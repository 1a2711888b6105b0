package host

import (
	"sync"
	"syscall"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/codec/value"
	"github.com/heddle-go/heddle/session"
)

// A controller hears how many workers an app is to have, from one client. Once that
// has gone the number is nobody's again, as with the real runtime; a client that has
// named none leaves it as it is. Of several numbers that come while one is being set,
// the last counts.
type controller struct {
	call *Call
	set  func(workers int64) error
	said bool // a number was named; loop only

	mu      sync.Mutex
	want    int64
	due     bool // want is to be set
	running bool // a goroutine sets it
}

// control has a call say how many workers there are.
func (c *Cloud) control(call *Call, set func(int64) error) error {
	if set == nil {
		return errnoError(syscall.EPERM, "nobody but its owner controls this application")
	}
	call.Serve(&controller{call: call, set: set})
	return nil
}

// OnMessage: a number.
func (h *controller) OnMessage(_ *session.Session, m session.Message) {
	var a []int64
	size, n, err := heddle.Head(m.Data)
	if err != nil || n == 0 || !isInt(m.Data[size]) {
		_ = h.call.conn.fail("control: what is no number of workers")
		return
	}
	if _, err := value.Decode(m.Data, &a, value.Limits{Elements: 16}); err != nil || a[0] < 0 || a[0] > mostWorkers {
		h.call.Fail(errnoError(syscall.EINVAL, "no number of workers"))
		return
	}
	h.said = true
	h.order(a[0])
}

// mostWorkers is what a client may ask for.
const mostWorkers = 4096

// OnWritable: see session.Handler.
func (h *controller) OnWritable(*session.Session) {}

// OnEnd: the client has left.
func (h *controller) OnEnd(_ *session.Session, err error) {
	if h.said {
		h.order(0)
	}
	if err == nil && h.call.conn.bad == nil {
		_ = h.call.answer(nil) // an error: it has failed before
	}
}

// order has a number set. Loop only.
func (h *controller) order(n int64) {
	h.mu.Lock()
	h.want, h.due = n, true
	begin := !h.running
	h.running = true
	h.mu.Unlock()
	if begin {
		h.call.conn.door.cloud.goWork(h.work)
	}
}

// work sets numbers until none is due.
func (h *controller) work() {
	for {
		h.mu.Lock()
		n, due := h.want, h.due
		h.due, h.running = false, due
		h.mu.Unlock()
		if !due {
			return
		}
		if err := h.set(n); err != nil {
			h.call.conn.door.cloud.log.Warn("host: workers stay as many as they were", "workers", n, "err", err)
			_ = h.call.conn.link.Do(func() { h.call.Fail(errnoError(syscall.EINVAL, err.Error())) }) // an error: he has left
		}
	}
}
