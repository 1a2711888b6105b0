//go:build !linux

package engine

func (e *Engine) note(string, int, bool) (forget func()) { return func() {} }

// Sweep does nothing here.
func Sweep(string) (killed int) { return 0 }
