package front

import (
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
)

// A refusals counts the requests that the front refused by one status, and logs one
// of them a second: who floods the front must not flood the log too.
type refusals struct {
	code  int
	n     atomic.Int64
	often rate.Sometimes
}

func newRefusals(code int) *refusals {
	return &refusals{code: code, often: rate.Sometimes{Interval: time.Second}}
}

// add counts one. Any goroutine.
func (r *refusals) add(log *slog.Logger, id, remote, why string) {
	n := r.n.Add(1)
	r.often.Do(func() {
		log.Info("front: refused", "status", r.code, "text", http.StatusText(r.code), "request", id, "remote", remote, "why", why, "so_far", n)
	})
}
