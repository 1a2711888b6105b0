package main

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
)

// TestSlowNoticesReader: who follows and does not read for longer than a reply may wait,
// as one that was stopped, misses notices, is told how many, and still follows.
func TestSlowNoticesReader(t *testing.T) {
	d := new(daemon)
	c, end := hastyServer(t, topicNotices, d.answerNotices)
	defer end()
	posted, got, missed := uint64(0), uint64(0), uint64(0)
	post := func(kind string) {
		d.notices.post(notice{Time: time.Now(), Kind: kind, Text: strings.Repeat("x", 1000)})
		posted++
	}
	room := func() bool {
		d.notices.mu.Lock()
		defer d.notices.mu.Unlock()
		for r := range d.notices.readers {
			return len(r.in) < maxNotices
		}
		return false
	}
	last := false
	for p, err := range c.Stream(t.Context(), topicNotices, nil) {
		if err != nil {
			t.Fatal(err)
		}
		var n notice
		if err := json.Unmarshal(p, &n); err != nil {
			t.Fatal(err)
		}
		missed += n.Missed
		switch {
		case n.Kind == noticeListening: // not reading; more comes than the session and the sockets hold
			for range 200 {
				for range 100 {
					post("many")
				}
				time.Sleep(2 * time.Millisecond)
			}
			continue
		case !last && room():
			last = true
			post("last")
			d.notices.end() // what waits is read
		}
		got++
	}
	if missed == 0 || got+missed != posted {
		t.Errorf("%d posted, %d read, %d missed", posted, got, missed)
	}
	t.Logf("%d posted, %d read, %d missed", posted, got, missed)
}
