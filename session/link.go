package session

import (
	"os"
	"time"

	"github.com/heddle-go/heddle/loop"
)

// A Link is what this room needs of a channel. *loop.Conn satisfies it, and
// so does sessiontest.End. The link calls the loop.Handler it was made with
// (a Channel or a Mux) on one goroutine, its loop.
type Link interface {
	// Send queues head and body as one frame on the data lane, copying both.
	// end is the data lane's offset after it, to be compared with Written.
	// Any goroutine.
	Send(head, body []byte) (end int64, err error)

	// SendControl queues a frame on the control lane, which leaves before
	// queued data, at a frame boundary. Any goroutine.
	SendControl(frame []byte) error

	// SendFiles queues a frame on the data lane whose first byte carries the
	// descriptors. The caller keeps its files. Any goroutine.
	SendFiles(frame []byte, files []*os.File) error

	// TakeFiles hands over the next n descriptors that arrived. Loop only.
	TakeFiles(n int) ([]*os.File, error)

	// Queued is how many bytes wait in the outbox. Any goroutine.
	Queued() int

	// Written is how many bytes of the data lane the kernel has accepted.
	// Any goroutine.
	Written() int64

	// Pause stops reading and Resume begins again. Loop only.
	Pause()
	Resume()

	// CloseWrite half-closes once all that is queued has left. Any goroutine.
	CloseWrite()

	// Close delivers what is queued and closes; Abort closes at once and
	// drops it. The handler's OnClose gets err. Any goroutine.
	Close(err error)
	Abort(err error)

	// After runs fn on the loop once d has passed. Loop only.
	After(d time.Duration, fn func()) (stop func())

	// Do runs fn on the loop soon. Any goroutine.
	Do(fn func()) error
}

var _ Link = (*loop.Conn)(nil)
