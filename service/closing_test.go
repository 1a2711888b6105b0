package service

import (
	"errors"
	"testing"
)

// TestReadyAmidClose is a call between Close and the end of the attempt to connect
// that Close waits for.
func TestReadyAmidClose(t *testing.T) {
	s, err := New(Options{Name: "x", Endpoints: []string{"127.0.0.1:1"}})
	if err != nil {
		t.Fatal(err)
	}
	s.mu.Lock()
	fire(s.life, eventDial) // as an attempt would
	s.shut = true
	s.mu.Unlock()
	if _, err := s.ready(t.Context(), "method"); !errors.Is(err, ErrClosed) {
		t.Errorf("got %v, want an ErrClosed", err)
	}
	s.Close()
}
