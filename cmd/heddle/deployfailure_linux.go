package main

import (
	"errors"
	"fmt"
	"strings"
	"syscall"
	"unicode"

	"github.com/heddle-go/heddle/worker/engine"
)

// slow is what a withdrawn release was waited for, and that worker's last words.
func slow(err error) string {
	var w *engine.WithdrawnError
	if !errors.As(err, &w) || w.Slow == nil {
		return ""
	}
	return fmt.Sprintf("; %s was %s%s", w.Slow.Worker(), w.Slow.Death.Reason, lastWords(w.Slow.Death, w.Slow.Plain))
}

// lastWords are a worker's last lines, and where its main goroutine was if that is
// known, as they are shown behind a first line.
func lastWords(d engine.Death, plainHTTP bool) string {
	var b strings.Builder
	on := " on standard error"
	if plainHTTP {
		on = "" // wherever
	}
	switch {
	case len(d.Stderr) > 0:
		b.WriteString("\nits last words" + on + ":")
	case d.Pid != 0:
		b.WriteString("\nit wrote nothing" + on)
	}
	for _, line := range d.Stderr {
		b.WriteString("\n  " + plain(line))
	}
	if stuck := d.Stuck(); len(stuck) > 0 {
		b.WriteString("\nwhere its main goroutine was:")
		for _, line := range stuck {
			b.WriteString("\n  " + plain(line))
		}
	}
	return b.String()
}

// shownLine is how many characters of a worker's line are shown.
const shownLine = 400

// plain is a worker's line as it may be written to somebody else's terminal: no
// control character, and not endless.
func plain(line string) string {
	runes := []rune(line)
	more := ""
	if len(runes) > shownLine {
		runes, more = runes[:shownLine], " …"
	}
	for i, r := range runes {
		if r != '\t' && !unicode.IsPrint(r) {
			runes[i] = unicode.ReplacementChar
		}
	}
	return string(runes) + more
}

// reasonOf is err as the list of releases has it.
func reasonOf(err error) string {
	var start *engine.StartError
	if errors.As(err, &start) {
		return start.Worker() + ": " + start.Death.Reason
	}
	var w *engine.WithdrawnError
	switch {
	case errors.As(err, &w) && errors.Is(err, errLate):
		return w.Error()
	case w != nil:
		return w.Cause.Error()
	}
	return err.Error()
}

// startFailure is what a person reads when workers did not get ready.
func startFailure(se *engine.StartError, r *release, code int, fine string) error {
	var b strings.Builder
	if code == exitRefused {
		fmt.Fprintf(&b, "%s: ", r.Name)
	}
	fmt.Fprintf(&b, "%s of %s did not get ready: %s", se.Worker(), r.Target, se.Death.Reason)
	b.WriteString(lastWords(se.Death, se.Plain))
	f := &failure{code: code, err: errors.New(b.String()), fine: fine, try: "try: " + r.alone(se.Plain) + ", to see what it does alone"}
	switch err := se.Death.Err; {
	case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE):
		f.try = "try: ulimit -n, and heddle run with more: it is the daemon that may have no more descriptors"
		return f
	case errors.Is(err, syscall.EAGAIN), errors.Is(err, syscall.ENOMEM):
		f.try = "try: ulimit -u; free -h: this user, or the machine, may have no more processes or memory"
		return f
	}
	if se.Dialect != engine.DialectHeddle {
		f.try = fmt.Sprintf("try: heddle run --dialect with the other one of v0 and v1, if it is a Cocaine worker of another age (this is %s)", string(se.Dialect))
		if strings.HasSuffix(se.Death.Reason, "before it was online") { // by itself
			f.try = "try: heddle run --locator 127.0.0.1:10053, or --cloud with the locator of a cloud, if it looks for services when it starts; many want logging.\n" + f.try
		}
		return f
	}
	// Whatever leaves in order, or stays silent until it is asked what it does,
	// is likely no worker at all.
	if se.Plain {
		if d := se.Death; d.Pid != 0 {
			f.try = "a program under heddle run --http must serve HTTP on descriptor 3 (LISTEN_FDS), on $PORT, or on the unix socket $HEDDLE_SOCKET; {port} and {socket} in its arguments are theirs.\n" + f.try
			if strings.HasPrefix(d.Reason, "no answer") {
				f.try = "it may listen elsewhere: its own words, or ss -lptn, say where.\n" + f.try
			}
		}
		return f
	}
	if d := se.Death; d.Pid != 0 && !d.Greeted && (d.ExitCode == 0 || d.Signal != "" || len(d.Dump) > 0) {
		f.try = "a program under heddle must call httpcompat.ListenAndServe(addr, handler), in place of http.ListenAndServe; one that serves plain HTTP, in any language, goes with heddle run --http (http = true in heddle.toml).\n" + f.try
	}
	return f
}
