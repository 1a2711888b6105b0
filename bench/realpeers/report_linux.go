package main

import (
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

// markdown is the table as the page has it: one for each peer and what it met.
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
	last := ""
	for _, l := range t {
		if head := l.peer.Name + ", with " + l.with; head != last {
			fmt.Fprintf(&b, "\n### %s\n\n| check | seen |\n|---|---|\n", head)
			last = head
		}
		fmt.Fprintf(&b, "| %s | %s |\n", cell(l.check), cell(l.mark()+l.seen))
	}
	return b.String()
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
