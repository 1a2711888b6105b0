package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"
)

// What a peer is.
const (
	kindWorker  = "worker"
	kindClient  = "client"
	kindRuntime = "runtime"
	kindProxy   = "proxy"
)

var kinds = []string{kindWorker, kindRuntime, kindClient, kindProxy}

// A peer is one table of peers.toml.
type peer struct {
	Name    string            `toml:"name"`
	Kind    string            `toml:"kind"`
	Dialect string            `toml:"dialect"` // v0 or v1
	Version string            `toml:"version"` // for people
	Start   []string          `toml:"start"`   // program and arguments; {dir}, and what its kind knows more
	Needs   []string          `toml:"needs"`   // files without which it is not there; default the program
	Expect  map[string]string `toml:"expect"`  // by check: how what is seen begins, in place of the check's own opinion

	dir string
}

// readPeers reads peers.toml of dir and fills {dir} in.
func readPeers(file, dir string) ([]*peer, error) {
	var all struct {
		Peer []*peer `toml:"peer"`
	}
	meta, err := toml.DecodeFile(file, &all)
	if err != nil {
		return nil, err
	}
	if extra := meta.Undecoded(); len(extra) > 0 {
		return nil, fmt.Errorf("%s: there is no key %q", file, extra[0])
	}
	seen := make(map[string]bool)
	for i, p := range all.Peer {
		p.dir = dir
		if err := p.check(); err != nil {
			return nil, fmt.Errorf("%s: peer %d, %q: %w", file, i+1, p.Name, err)
		}
		if seen[p.Name] {
			return nil, fmt.Errorf("%s: %q is there twice", file, p.Name)
		}
		seen[p.Name] = true
		p.Start = p.fill(p.Start)
		p.Needs = p.fill(p.Needs)
		if len(p.Needs) == 0 {
			p.Needs = p.Start[:1]
		}
	}
	return all.Peer, nil
}

func (p *peer) check() error {
	switch {
	case p.Name == "":
		return errors.New("it has no name")
	case !slices.Contains(kinds, p.Kind):
		return fmt.Errorf("kind %q is none of worker, client, runtime, proxy", p.Kind)
	case p.Dialect != "v0" && p.Dialect != "v1":
		return fmt.Errorf("dialect %q is neither v0 nor v1", p.Dialect)
	case len(p.Start) == 0:
		return errors.New("it has no start command")
	}
	return nil
}

// fill replaces {dir} and then the pairs of names and values.
func (p *peer) fill(words []string, pairs ...string) []string {
	r := strings.NewReplacer(append([]string{"{dir}", p.dir}, pairs...)...)
	var filled []string
	for _, w := range words {
		filled = append(filled, r.Replace(w))
	}
	return filled
}

// command is the start command with the pairs filled in. A word {program} of its
// own becomes all words of program.
func (p *peer) command(program []string, pairs ...string) []string {
	words := p.fill(p.Start, pairs...)
	if at := slices.Index(words, "{program}"); at >= 0 {
		words = slices.Concat(words[:at], program, words[at+1:])
	}
	return words
}

// missing says which file the peer lacks; empty: none.
func (p *peer) missing() string {
	for _, f := range p.Needs {
		if !strings.Contains(f, "/") {
			continue // of PATH
		}
		if _, err := os.Stat(f); err != nil {
			return "not there"
		}
	}
	return ""
}

// judge is the line of one check.
func (p *peer) judge(with, check, seen string, err error) line {
	l := line{peer: p, with: with, check: check, seen: oneLine(seen), verdict: good}
	if err != nil {
		l.verdict, l.seen = bad, oneLine(err.Error())
	}
	if want, ok := p.Expect[check]; ok {
		if strings.HasPrefix(l.seen, want) {
			l.verdict = expected
		} else {
			l.verdict, l.seen = bad, oneLine(l.seen+" (peers.toml expects: "+want+")")
		}
	}
	return l
}
