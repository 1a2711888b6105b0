package engine

import (
	"errors"
	"time"
)

// A Tuning is what of the Options can be changed while the engine runs; there it
// is explained.
type Tuning struct {
	Queue            QueueOptions
	StartTimeout     time.Duration
	HeartbeatTimeout time.Duration
	DrainTimeout     time.Duration
	ShutdownTimeout  time.Duration
	KillDelay        time.Duration
	Recycle          RecycleOptions
}

// tuning is the present one. Any goroutine.
func (e *Engine) tuning() *Tuning { return e.tuned.Load() }

// Tune changes these options: for requests that begin to wait, workers that are
// started, told to drain or looked at from now on. Zeros take no default, but for
// Recycle, where they mean never: they are refused.
func (e *Engine) Tune(t Tuning) error {
	if t.Queue.Len <= 0 || t.Queue.Age <= 0 || t.StartTimeout <= 0 || t.HeartbeatTimeout <= 0 || t.DrainTimeout <= 0 || t.ShutdownTimeout <= 0 || t.KillDelay <= 0 || t.Recycle.Age < 0 || t.Recycle.Memory < 0 {
		return errors.New("engine: a limit or time-out that is not above zero")
	}
	e.tuned.Store(&t)
	for _, c := range e.living() {
		c.tell(func(*facts) {}) // it looks at its time-outs anew
	}
	return nil
}
