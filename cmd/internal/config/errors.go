package config

import (
	"fmt"
	"slices"
	"strings"
)

// An Error is one thing that is wrong with a file.
type Error struct {
	File string // as it was named; one that is extended, as seen from the current directory
	Line int    // from 1; 0: the file as a whole
	Msg  string // what is wrong, and what would be right
}

func (e *Error) Error() string {
	if e.Line == 0 {
		return fmt.Sprintf("%s: %s", e.File, e.Msg)
	}
	return fmt.Sprintf("%s:%d: %s", e.File, e.Line, e.Msg)
}

// Errors are all that is wrong, in the order of the files and their lines.
type Errors []*Error

func (e Errors) Error() string {
	lines := make([]string, len(e))
	for i, x := range e {
		lines[i] = x.Error()
	}
	return strings.Join(lines, "\n")
}

// sort orders by file, as the files were read, then by line.
func (e Errors) sort(files []string) {
	slices.SortStableFunc(e, func(a, b *Error) int {
		if d := slices.Index(files, a.File) - slices.Index(files, b.File); d != 0 {
			return d
		}
		return a.Line - b.Line
	})
}
