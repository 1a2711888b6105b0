package main

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// A verdict is what came of a check.
type verdict int

const (
	good     verdict = iota
	expected         // not what the check wants, or more exact than that: what peers.toml says
	bad
	absent // the peer is not there
)

// A line is one row of the table.
type line struct {
	peer    *peer
	with    string
	check   string
	seen    string
	verdict verdict
}

func (l line) mark() string {
	if l.verdict == bad {
		return "FAILS: "
	}
	return ""
}

type table []line

func (t table) print(w io.Writer) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "peer\twith\tcheck\tseen")
	for _, l := range t {
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s%s\n", l.peer.Name, l.with, l.check, l.mark(), l.seen)
	}
	return tw.Flush()
}

// failed is an error that counts what failed.
func (t table) failed() error {
	var names []string
	for _, l := range t {
		if l.verdict == bad {
			names = append(names, l.peer.Name+": "+l.check)
		}
	}
	if names == nil {
		return nil
	}
	return fmt.Errorf("%d of %d checks failed: %s", len(names), len(t), strings.Join(names, "; "))
}

// What stands around the table in the page.
const (
	pageBegin = "<!-- peers -->\n"
	pageEnd   = "<!-- end -->\n"
)

// markdown is the table as the page has it: the peers, and for each kind what was
// seen of each check, and by whom.
func (t table) markdown(peers []*peer, now time.Time) string {
	var b strings.Builder
	fmt.Fprintf(&b, "Seen on %s.\n\n| peer | kind | dialect | version |\n|---|---|---|---|\n", now.UTC().Format("2006-01-02"))
	for _, p := range peers {
		version := p.Version
		if p.missing() != "" {
			version += " (was not there)"
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", p.Name, p.Kind, p.Dialect, cell(version))
	}
	for _, kind := range kinds {
		some := t.where(func(l line) bool { return l.peer.Kind == kind && l.verdict != absent })
		if len(some) == 0 {
			continue
		}
		fmt.Fprintf(&b, "\n### Kind %s\n\n| check | seen | by |\n|---|---|---|\n", kind)
		first := make(map[string]int) // line of each check
		for i, l := range slices.Backward(some) {
			first[l.check] = i
		}
		slices.SortStableFunc(some, func(l, m line) int { return cmp.Compare(first[l.check], first[m.check]) })
		done := make(map[string]bool)
		for _, l := range some {
			key := l.check + "\x00" + l.mark() + l.seen
			if done[key] {
				continue
			}
			done[key] = true
			checked := some.where(func(m line) bool { return m.check == l.check })
			same := checked.where(func(m line) bool { return m.mark()+m.seen == l.mark()+l.seen })
			fmt.Fprintf(&b, "| %s | %s | %s |\n", cell(l.check), cell(l.mark()+l.seen), same.by(checked))
		}
	}
	return b.String()
}

func (t table) where(f func(line) bool) (some table) {
	for _, l := range t {
		if f(l) {
			some = append(some, l)
		}
	}
	return some
}

// by names the peers of t, which is a part of all: those of whom only some
// encounters are in t with these.
func (t table) by(all table) string {
	if len(t) == len(all) {
		return "all"
	}
	var names []string
	for _, l := range t {
		name := l.peer.Name
		mine := func(m line) bool { return m.peer == l.peer }
		if len(t.where(mine)) < len(all.where(mine)) {
			name += " (" + l.with + ")"
		}
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return strings.Join(names, ", ")
}

func cell(s string) string {
	return strings.NewReplacer("|", `\|`, "<", "&lt;").Replace(s)
}

// write puts the table into the page, in place of the one between the marks.
func (t table) write(page string, peers []*peer, now time.Time) error {
	b, err := os.ReadFile(page)
	if err != nil {
		return err
	}
	before, rest, ok := strings.Cut(string(b), pageBegin)
	_, after, ok2 := strings.Cut(rest, pageEnd)
	if !ok || !ok2 {
		return fmt.Errorf("%s has no %q and %q", page, strings.TrimSpace(pageBegin), strings.TrimSpace(pageEnd))
	}
	return os.WriteFile(page, []byte(before+pageBegin+t.markdown(slices.Clone(peers), now)+pageEnd+after), 0o644)
}
