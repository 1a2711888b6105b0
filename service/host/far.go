package host

import (
	"bytes"
	"context"
	"io"
	"sync"

	"github.com/heddle-go/heddle/session"
)

// A far is the worker's side of a bridge when nobody is free on its own loop, but may be
// on another: one goroutine opens the session and reads of it, another one writes. What
// waits to be written is the bridge's, as ever, and so are all decisions, on its loop.
type far struct {
	b      *bridge
	ctx    context.Context // ends when the bridge has
	cancel context.CancelFunc
	kicked chan struct{} // there is something to write
	over   chan struct{} // the session has ended

	taken chan struct{} // to be closed when the client has taken all; nil: he has. Loop only
}

// goFar begins a far.
func (b *bridge) goFar(o session.OpenOptions) {
	f := &far{b: b, kicked: make(chan struct{}, 1), over: make(chan struct{})}
	f.ctx, f.cancel = context.WithCancel(context.Background())
	b.far = f
	b.call.conn.door.cloud.works.Go(func() { f.run(o) }) // ends with the bridge, at the latest
}

// kick says that there is something to write. Loop only.
func (f *far) kick() {
	if f == nil {
		return
	}
	select {
	case f.kicked <- struct{}{}:
	default:
	}
}

// resume has the next chunk read, if the client has taken all. Loop only.
func (f *far) resume() {
	if f != nil && f.taken != nil && len(f.b.down.waiting) == 0 {
		close(f.taken)
		f.taken = nil
	}
}

// do runs fn on the bridge's loop, unless the bridge is over, and says whether it did.
func (f *far) do(fn func()) bool {
	done := make(chan bool, 1)
	err := f.b.call.conn.link.Do(func() {
		live := !f.b.over
		if live {
			fn()
		}
		done <- live
	})
	if err != nil {
		return false
	}
	select {
	case live := <-done:
		return live
	case <-f.ctx.Done():
		return false
	}
}

func (f *far) run(o session.OpenOptions) {
	defer f.cancel()
	s, err := f.b.app.Open(f.ctx, o)
	if err != nil {
		f.do(func() { f.b.fail(openError(err)) })
		return
	}
	defer s.Discard()
	defer context.AfterFunc(f.ctx, func() { s.Cancel(errClient) })()
	var writing sync.WaitGroup
	if !o.Last {
		writing.Go(func() { f.write(s) }) // ends when over is closed, at the latest
	}
	err = f.read(s)
	close(f.over)
	writing.Wait()
	f.do(func() { f.b.ended(err) })
}

// read gives the bridge what the worker says, until its end: nil, or an error.
func (f *far) read(s *session.Session) error {
	for {
		m, err := s.Recv()
		switch {
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		case m.Kind != session.Chunk:
			m.Drop()
			continue
		}
		p, taken := bytes.Clone(m.Data), make(chan struct{})
		if !f.do(func() {
			f.taken = taken
			f.b.hear(p, 0)
			f.resume()
		}) {
			return errClient
		}
		select {
		case <-taken:
		case <-f.ctx.Done():
			return errClient
		}
	}
}

// write gives the worker what the client says.
func (f *far) write(s *session.Session) {
	defer func() { // whoever cannot be told hears nothing more
		f.do(func() { f.b.up.drop() })
	}()
	for {
		var p []byte
		var end error
		if !f.do(func() { p, end = f.b.up.take() }) {
			return
		}
		switch {
		case end == io.EOF:
			_ = s.Close() // an error: it has ended
			return
		case end != nil:
			s.Abort(end)
			return
		case p != nil:
			if s.WriteChunk(p) != nil {
				return // read learns it, too
			}
			continue
		}
		select {
		case <-f.kicked:
		case <-f.over:
			return
		case <-f.ctx.Done():
			return
		}
	}
}

// take takes the first piece that waits, or the end behind the last one.
func (f *flow) take() (p []byte, end error) {
	switch {
	case len(f.waiting) > 0:
		w := f.waiting[0]
		f.waiting[0] = piece{}
		f.waiting = f.waiting[1:]
		f.size -= w.n
		f.budget.give(w.n)
		return append([]byte{}, w.p...), nil
	case f.ended && !f.told:
		f.told = true
		return nil, f.err
	}
	return nil, nil
}
