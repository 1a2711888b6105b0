package main

import (
	"errors"
	"testing"
)

// TestVisits: there are only so many visitors at once, and none once the daemon ends,
// which waits for those that are there.
func TestVisits(t *testing.T) {
	var v visits
	var lefts []func()
	var shut <-chan struct{}
	for i := range mostVisits {
		n, ch, left, err := v.come()
		if err != nil || n != i+1 {
			t.Fatal(n, err)
		}
		shut, lefts = ch, append(lefts, left)
	}
	var f *failure
	if _, _, _, err := v.come(); !errors.As(err, &f) || f.code != exitRefused {
		t.Errorf("one more: %v", err)
	}
	lefts[0]()
	n, _, left, err := v.come()
	if err != nil || n != mostVisits+1 {
		t.Fatal(n, err)
	}
	lefts[0] = left
	ended := make(chan struct{})
	go func() { // ends once all have left
		defer close(ended)
		v.end()
	}()
	<-shut
	if _, _, _, err := v.come(); err == nil {
		t.Error("one came after the end")
	}
	for _, left := range lefts {
		select {
		case <-ended:
			t.Fatal("it has not waited for all")
		default:
		}
		left()
	}
	<-ended
	v.end() // does nothing
}
