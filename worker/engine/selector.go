package engine

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// A Selector names workers. The zero value names all that have an index, and
// the standbys.
type Selector struct {
	text  string
	parts []part
}

// A part is one element of a selector's list; the list is their union.
type part struct {
	not      bool
	from, to int    // of indexes, inclusive; used if id is "" and pid 0
	pid      int    // $PID
	id       string // uuid in lower case, or its first eight digits
	self     bool   // whoever asks; As says who that is
}

// shortID is how much of a worker's id people see.
const shortID = 8

// SelectorHelp says what a selector may be, for messages.
const SelectorHelp = "an index (0), a range (1-3, 2-, -2), $PID, an id as status shows it, any of these with ! before it for the others, or several with commas between"

// ParseSelector reads a comma list of indexes ("0"), ranges ("1-3", "2-", "-2",
// inclusive, "-" for all), process numbers ("$4711"), worker ids (whole or
// their first eight digits, upper or lower case), and "self", the worker that
// asks. "!" before one means the others that have an index. "" names all. The
// error names the part that is none of these.
func ParseSelector(text string) (Selector, error) {
	sel := Selector{text: strings.TrimSpace(text)}
	if sel.text == "" {
		return sel, nil
	}
	for _, word := range strings.Split(sel.text, ",") {
		word = strings.TrimSpace(word)
		p, err := parsePart(word)
		if err != nil {
			return Selector{}, fmt.Errorf("%q in a selector: %w", word, err)
		}
		sel.parts = append(sel.parts, p)
	}
	return sel, nil
}

func parsePart(word string) (p part, err error) {
	word, p.not = strings.CutPrefix(word, "!")
	if pid, ok := strings.CutPrefix(word, "$"); ok {
		if p.pid, err = number(pid); err != nil || p.pid == 0 {
			return p, fmt.Errorf("want a process number behind $")
		}
		return p, nil
	}
	if strings.EqualFold(word, "self") {
		p.self = true
		return p, nil
	}
	if isID(word) {
		p.id = strings.ToLower(word)
		return p, nil
	}
	from, to, ranged := strings.Cut(word, "-")
	p.to = MaxWorkers
	if from != "" || !ranged {
		if p.from, err = number(from); err != nil {
			return p, fmt.Errorf("want %s", SelectorHelp)
		}
	}
	switch {
	case !ranged:
		p.to = p.from
	case to != "":
		if p.to, err = number(to); err != nil {
			return p, fmt.Errorf("want %s", SelectorHelp)
		}
		if p.to < p.from {
			return p, fmt.Errorf("the range is the wrong way round; want %d-%d", p.to, p.from)
		}
	}
	return p, nil
}

// number is a plain decimal: no sign, at most nine digits.
func number(s string) (int, error) {
	if s == "" || len(s) > 9 || strings.Trim(s, "0123456789") != "" {
		return 0, strconv.ErrSyntax
	}
	return strconv.Atoi(s)
}

// isID says whether word is a uuid, or as much of one as status shows.
func isID(word string) bool {
	if len(word) != shortID && len(word) != 36 {
		return false
	}
	for i, c := range strings.ToLower(word) {
		switch {
		case i == 8 || i == 13 || i == 18 || i == 23:
			if c != '-' {
				return false
			}
		case !strings.ContainsRune("0123456789abcdef", c):
			return false
		}
	}
	return true
}

// As is the selector as the worker of that id means it: "self" is that one. Where
// nobody is said to ask, "self" names nobody, and "!self" all that have an index.
func (s Selector) As(id string) Selector {
	s.parts = slices.Clone(s.parts)
	for i := range s.parts {
		if p := &s.parts[i]; p.self {
			p.id = strings.ToLower(id)
		}
	}
	return s
}

// IsZero says whether the selector names nobody in particular.
func (s Selector) IsZero() bool { return len(s.parts) == 0 }

// Match says whether the selector names w. Indexes and "!" never name a
// standby; its process number and id do.
func (s Selector) Match(w WorkerStatus) bool {
	return len(s.parts) == 0 || slices.ContainsFunc(s.parts, func(p part) bool { return p.match(w) })
}

func (p part) match(w WorkerStatus) bool {
	var is bool
	switch {
	case p.pid != 0:
		is = w.Pid == p.pid
	case p.id != "":
		is = strings.HasPrefix(w.ID, p.id)
	case p.self: // nobody asks
	default:
		is = w.Index >= p.from && w.Index <= p.to
	}
	if p.not {
		return !is && w.Index >= 0
	}
	return is
}

// reaches says whether the selector names w for messages, which is active or not: all
// but process numbers and ids name active ones only.
func (s Selector) reaches(w WorkerStatus, active bool) bool {
	if len(s.parts) == 0 {
		return active
	}
	return slices.ContainsFunc(s.parts, func(p part) bool {
		exact := !p.not && (p.pid != 0 || p.id != "")
		return (active || exact) && p.match(w)
	})
}

// Pick returns those of list that the selector names.
func (s Selector) Pick(list []WorkerStatus) []WorkerStatus {
	var picked []WorkerStatus
	for _, w := range list {
		if s.Match(w) {
			picked = append(picked, w)
		}
	}
	return picked
}

// String is the text that was parsed.
func (s Selector) String() string { return s.text }
