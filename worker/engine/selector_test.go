package engine

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// modelWorkers are what the model chooses of: five with an index, one of them being
// started, and two standbys.
var modelWorkers = []WorkerStatus{
	{Index: 0, Pid: 100, ID: "aaaaaaaa-0000-4000-8000-000000000000"},
	{Index: 1, Pid: 101, ID: "bbbbbbbb-0000-4000-8000-000000000001"},
	{Index: 2, Pid: 102, ID: "12345678-0000-4000-8000-000000000002"},
	{Index: 3, Pid: 0, ID: "dddddddd-0000-4000-8000-000000000003"},
	{Index: 4, Pid: 104, ID: "eeeeeeee-0000-4000-8000-000000000004"},
	{Index: -1, Pid: 105, ID: "ffffffff-0000-4000-8000-000000000005"},
	{Index: -1, Pid: 106, ID: "99999999-0000-4000-8000-000000000006"},
}

// modelPart is what one part means, said in another way than parsePart does: the
// list of workers that it names, or that it is an error.
func modelPart(word, self string) (named []int, ok bool) {
	if rest, not := strings.CutPrefix(word, "!"); not {
		if strings.HasPrefix(rest, "!") {
			return nil, false
		}
		those, ok := modelPart(rest, self)
		for i, w := range modelWorkers {
			if w.Index >= 0 && !slices.Contains(those, i) {
				named = append(named, i)
			}
		}
		return named, ok
	}
	pick := func(is func(w WorkerStatus) bool) []int {
		for i, w := range modelWorkers {
			if is(w) {
				named = append(named, i)
			}
		}
		return named
	}
	digits := func(s string) (int, bool) {
		for _, c := range s {
			if c < '0' || c > '9' {
				return 0, false
			}
		}
		n, err := strconv.Atoi(s)
		return n, err == nil && len(s) <= 9
	}
	low := strings.ToLower(word)
	switch {
	case low == "self":
		return pick(func(w WorkerStatus) bool { return self != "" && w.ID == self }), true
	case strings.HasPrefix(word, "$"):
		n, ok := digits(word[1:])
		return pick(func(w WorkerStatus) bool { return n > 0 && w.Pid == n }), ok && n > 0
	case len(word) == 36 || len(word) == 8 && strings.Trim(low, "0123456789abcdef") == "":
		whole := slices.ContainsFunc(modelWorkers, func(w WorkerStatus) bool { return w.ID[:len(word)] == low })
		return pick(func(w WorkerStatus) bool { return w.ID[:len(word)] == low }), whole || len(word) == 8
	}
	if n, ok := digits(word); ok {
		return pick(func(w WorkerStatus) bool { return w.Index == n }), true
	}
	from, to, is := strings.Cut(word, "-")
	if !is {
		return nil, false
	}
	low1, high := 0, 1<<30
	if from != "" {
		if low1, ok = digits(from); !ok {
			return nil, false
		}
	}
	if to != "" {
		if high, ok = digits(to); !ok {
			return nil, false
		}
	}
	return pick(func(w WorkerStatus) bool { return w.Index >= low1 && w.Index <= high }), low1 <= high
}

// TestSelectorModel compares the parser and the choice with a plain model (PEERS
// N24 to N30).
func TestSelectorModel(t *testing.T) {
	words := []string{
		"0", "1", "4", "9", "007", "1-3", "-2", "3-", "-", "0-99", "2-1", "3-1", "7-", "$102", "$105", "$999", "$", "$0", "$-1",
		"self", "SELF", "bogus", "*", "all", "--", "!1", "0-2-3", "1 - 3", "+1", "-0-", "12345678", "1234567", "ABCDEF01",
		"999999999", "9999999999", "", "٣",
	}
	for _, w := range modelWorkers {
		words = append(words, w.ID, strings.ToUpper(w.ID), w.ID[:8], w.ID[:35], "$"+strconv.Itoa(w.Pid))
	}
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 200_000 {
		var parts []string
		for range 1 + rnd.IntN(4) {
			w := words[rnd.IntN(len(words))]
			if rnd.IntN(3) == 0 {
				w = "!" + w
			}
			parts = append(parts, w)
		}
		self := ""
		if rnd.IntN(2) == 0 {
			self = modelWorkers[rnd.IntN(len(modelWorkers))].ID
		}
		pad := strings.Repeat(" ", rnd.IntN(2))
		text := pad + strings.Join(parts, pad+","+pad) + pad
		want, bad := map[int]bool{}, -1
		active, reached := map[int]bool{}, map[int]bool{} // for messages
		for i, w := range modelWorkers {
			active[i] = w.Index >= 0 && rnd.IntN(4) > 0
		}
		for n, p := range parts {
			named, ok := modelPart(p, self)
			if !ok && bad < 0 {
				bad = n
			}
			for _, i := range named {
				want[i] = true
				exact := p[0] != '!' && (p[0] == '$' || len(p) == 36 || len(p) == 8 || strings.EqualFold(p, "self"))
				reached[i] = reached[i] || active[i] || exact
			}
		}
		if len(parts) == 1 && parts[0] == "" { // all
			bad = -1
			for i := range modelWorkers {
				want[i], reached[i] = true, active[i]
			}
		}
		sel, err := ParseSelector(text)
		switch {
		case bad < 0 && err != nil:
			t.Fatalf("%q: %v", text, err)
		case bad >= 0 && (err == nil || !strings.HasPrefix(err.Error(), fmt.Sprintf("%q in a selector", parts[bad]))):
			t.Fatalf("%q: error %v; the model calls %q bad", text, err, parts[bad])
		case bad >= 0:
			continue
		}
		for i, w := range modelWorkers {
			if got := sel.As(self).Match(w); got != want[i] {
				t.Fatalf("%q asked by %q: worker %d (%+v): %v, want %v", text, self, i, w, got, want[i])
			}
			if got := sel.As(self).reaches(w, active[i]); got != reached[i] {
				t.Fatalf("%q from %q to worker %d (%+v, active %v): %v, want %v", text, self, i, w, active[i], got, reached[i])
			}
		}
	}
}
