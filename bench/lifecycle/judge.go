package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/heddle-go/heddle/bench/internal/daemon"
	"github.com/heddle-go/heddle/bench/internal/traffic"
)

// untouched is what breaks the promise that no request notices anything.
func untouched(c traffic.Count) (broken []string) {
	for _, n := range []struct {
		n    int
		what string
	}{
		{c.Lost, "were lost"},
		{c.Refused, "were refused with 503"},
		{c.Stale, "were answered by a worker that should have had no work"},
		{c.Twice, "were served twice"},
	} {
		if n.n > 0 {
			broken = append(broken, fmt.Sprintf("%d requests %s", n.n, n.what))
		}
	}
	if lost := c.Sent - c.OK - c.Lost - c.Refused - c.Stale; lost != 0 {
		broken = append(broken, fmt.Sprintf("%d requests have no known fate", lost))
	}
	if c.Sent == 0 {
		broken = append(broken, "there was no traffic")
	}
	return broken
}

// accounted is what breaks the promise of kills: each lost request is one that
// the log names, each that it names was lost, and there is a death for each
// kill and no other. The log of a plain program may name a WebSocket that it ended
// itself, a moment before its death: nobody can tell the two.
func accounted(failures []traffic.Failure, log daemon.Lost, kills int, plain bool) (broken []string) {
	missing := make(map[string]bool)
	for id := range log.Requests {
		missing[id] = !plain || !strings.HasPrefix(id, "socket-")
	}
	maps.DeleteFunc(missing, func(_ string, must bool) bool { return !must })
	var nameless, other []string
	for _, f := range failures {
		switch {
		case f.What != "lost":
			other = append(other, f.ID+" ("+f.What+": "+f.Why+")")
		case log.Requests[f.ID] == nil:
			nameless = append(nameless, f.ID+" ("+f.Why+")")
		}
		delete(missing, f.ID)
	}
	for _, n := range []struct {
		ids  []string
		what string
	}{
		{nameless, "were lost and are not named in the log"},
		{slices.Sorted(maps.Keys(missing)), "are named as lost in the log and were answered well"},
		{other, "failed otherwise"},
	} {
		if len(n.ids) > 0 {
			broken = append(broken, fmt.Sprintf("%d requests %s: %s", len(n.ids), n.what, some(n.ids)))
		}
	}
	if log.Deaths != kills {
		broken = append(broken, fmt.Sprintf("%d workers were killed, and the log tells of %d deaths", kills, log.Deaths))
	}
	return broken
}

// some are the first few, for a line.
func some(ids []string) string {
	const most = 5
	if len(ids) > most {
		return strings.Join(ids[:most], ", ") + ", …"
	}
	return strings.Join(ids, ", ")
}

// flat is what breaks the promise that a daemon at rest has what it had before:
// as many descriptors and goroutines but for a few that come and go, and memory
// that has not doubled.
func flat(before, after resources) (broken []string) {
	const few = 4
	if after.Descriptors > before.Descriptors+few {
		broken = append(broken, fmt.Sprintf("the daemon has %d descriptors, after %d", after.Descriptors, before.Descriptors))
	}
	if after.Goroutines > before.Goroutines+few {
		broken = append(broken, fmt.Sprintf("the daemon has %d goroutines, after %d", after.Goroutines, before.Goroutines))
	}
	const slack = 16 << 20 // bytes
	if after.Memory > 2*before.Memory+slack {
		broken = append(broken, fmt.Sprintf("the daemon has %d MiB resident, after %d MiB", after.Memory>>20, before.Memory>>20))
	}
	return broken
}

// resources are what flat compares. Goroutines are 0 where they were not
// counted.
type resources struct {
	daemon.Vitals
	Goroutines int
}

// both are the ids in a and in b.
func both(a, b []string) (common []string) {
	for _, id := range a {
		if slices.Contains(b, id) {
			common = append(common, id)
		}
	}
	return common
}
