package session

import (
	"slices"

	heddle "github.com/heddle-go/heddle"
)

// A Table is what one direction of a call may carry next (PROTOCOL 3.1): its
// arms, by id. A nil or empty one carries nothing more. Immutable, and any
// number of calls share it.
type Table struct {
	arms []arm // by id

	closes *arm // ends the direction in order, with no arguments: close, or a value that is void; nil for none
	fails  *arm // ends it with an error
	writes bool // has the chunks that Session.Write sends
}

// An Arm is one message that a Table allows.
type Arm struct {
	ID   uint64
	Name string

	// Next is the table that holds after the message: nil for the same again,
	// an empty one if it is the last.
	Next *Table
}

// last says whether nothing follows the message.
func (a Arm) last() bool { return a.Next != nil && a.Next.Empty() }

// An arm is an Arm, and what is made of its name.
type arm struct {
	Arm
	closes, fails bool
}

// The names by which a message is known to be more than arguments. They are
// those of the standard protocols, which every graph uses.
const (
	armWrite = "write"
	armError = "error"
	armClose = "close"
	armValue = "value"
)

// The standard protocols of one direction (PROTOCOL 3.1).
var (
	// Mute carries nothing.
	Mute = NewTable()

	// Primitive is one value, or one error.
	Primitive = NewTable(Arm{0, armValue, Mute}, Arm{1, armError, Mute})

	// Streaming is any number of writes, then an error or close.
	Streaming = NewTable(Arm{heddle.MsgWrite, armWrite, nil}, Arm{heddle.MsgError, armError, Mute}, Arm{heddle.MsgClose, armClose, Mute})
)

// NewTable returns a table of these arms. Of two with one id the first holds.
func NewTable(arms ...Arm) *Table {
	t := &Table{arms: make([]arm, 0, len(arms))}
	for _, a := range arms {
		t.arms = append(t.arms, arm{Arm: a, closes: a.Name == armClose && a.last(), fails: a.Name == armError && a.last()})
	}
	slices.SortStableFunc(t.arms, func(a, b arm) int { return compareIDs(a, b.ID) })
	t.arms = slices.CompactFunc(t.arms, func(a, b arm) bool { return a.ID == b.ID })
	for i := range t.arms {
		a := &t.arms[i]
		switch {
		case a.closes && (t.closes == nil || !t.closes.closes):
			t.closes = a
		case a.Name == armValue && a.last() && t.closes == nil:
			t.closes = a
		case a.fails && t.fails == nil:
			t.fails = a
		case a.ID == heddle.MsgWrite && a.Name == armWrite && a.Next == nil:
			t.writes = true
		}
	}
	return t
}

func compareIDs(a arm, id uint64) int {
	switch {
	case a.ID < id:
		return -1
	case a.ID > id:
		return 1
	}
	return 0
}

// Arm returns the arm of this id.
func (t *Table) Arm(id uint64) (Arm, bool) {
	if a := t.find(id); a != nil {
		return a.Arm, true
	}
	return Arm{}, false
}

// Named returns the first arm of this name.
func (t *Table) Named(name string) (Arm, bool) {
	if t != nil {
		for i := range t.arms {
			if t.arms[i].Name == name {
				return t.arms[i].Arm, true
			}
		}
	}
	return Arm{}, false
}

// Arms returns the arms by id, in memory of the caller's.
func (t *Table) Arms() []Arm {
	if t == nil {
		return nil
	}
	arms := make([]Arm, len(t.arms))
	for i, a := range t.arms {
		arms[i] = a.Arm
	}
	return arms
}

// Empty says whether nothing more may come.
func (t *Table) Empty() bool { return t == nil || len(t.arms) == 0 }

// find is Arm without the copy; nil for none.
func (t *Table) find(id uint64) *arm {
	if t == nil {
		return nil
	}
	i, ok := slices.BinarySearchFunc(t.arms, id, compareIDs)
	if !ok {
		return nil
	}
	return &t.arms[i]
}

// after is the table that holds once a has been said.
func (t *Table) after(a *arm) *Table {
	if a.Next == nil {
		return t
	}
	return a.Next
}

// A Method is one thing that a service does, and how a call of it goes on.
// An invoke on a worker is method 0 of the worker's protocol, streaming both
// ways; a call is the same with any method. Immutable once it is used.
type Method struct {
	ID   uint64
	Name string // for logs

	Dispatch *Table // what the opener may send after the call itself
	Upstream *Table // what is answered
}
