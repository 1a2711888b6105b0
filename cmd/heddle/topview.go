package main

import (
	"fmt"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode/utf8"

	"github.com/heddle-go/heddle/worker/engine"
)

// A sample is what the daemon said at a time, or why it did not.
type sample struct {
	at  time.Time
	st  statusReply
	err error
}

// A topView draws samples.
type topView struct {
	width, height int // of the terminal, in cells; 0: no limit
	colour        bool
	control       controlFlags // as they were given

	last, before sample // before: what last is compared with
}

// add takes the next sample. After one without an answer, the numbers of the one
// before it stand.
func (v *topView) add(s sample) {
	if s.err != nil {
		v.last.err = s.err
		return
	}
	v.before, v.last = v.last, s
	if v.before.err != nil || v.before.st.Pid != s.st.Pid {
		v.before = sample{} // another daemon: its counters are its own
	}
}

// seconds between the two samples; 0 while there is one.
func (v *topView) seconds() float64 {
	if v.before.at.IsZero() {
		return 0
	}
	return v.last.at.Sub(v.before.at).Seconds()
}

// rate is how much a counter grew in a second; "-" while that is unknown.
func (v *topView) rate(before, now float64, format string) string {
	s := v.seconds()
	if s <= 0 || now < before {
		return "-"
	}
	return fmt.Sprintf(format, (now-before)/s)
}

// SGR of ECMA-48.
const (
	styleBold    = "\x1b[1m"
	styleRed     = "\x1b[31m"
	styleYellow  = "\x1b[33m"
	styleReverse = "\x1b[7m"
	stylePlain   = "\x1b[0m"
)

// A styled is a line and how it is shown.
type styled struct{ text, style string }

// lines are what the terminal shows, cut to its size.
func (v *topView) lines() []string {
	st := &v.last.st
	all := []styled{{fmt.Sprintf("%s %s, %s, up %s, pid %d, %s", st.Name, st.what(), st.State, span(v.last.at.Sub(st.Started)), st.Pid, strings.Join(st.Listen, " ")), styleBold}}
	if v.last.err != nil {
		first, _, _ := strings.Cut(v.last.err.Error(), "\n")
		all = append(all, styled{"no answer: " + first, styleRed})
	}
	f := &st.Front
	all = append(all, styled{text: fmt.Sprintf("%s requests/s, %d now, %d in all; %d clients gone early, %d requests refused",
		v.rate(float64(v.before.st.Front.Requests), float64(f.Requests), "%.1f"), f.Active, f.Requests, f.Gone, f.Refused)})
	wanted, standbys := 0, 0
	for _, a := range st.each() {
		wanted += a.Wanted
		standbys += a.Standbys
	}
	all = append(all, styled{text: fmt.Sprintf("%s wanted, %s; the daemon: %s CPU, %s", noun(wanted, "worker"), noun(standbys, "standby"), v.rate(100*v.before.st.CPU, 100*st.CPU, "%.0f%%"), bytesOf(st.Memory))})
	for _, a := range st.each() {
		name, of := "", v.control
		if a.Name != "" {
			name, of.app = a.Name+": ", a.Name
		}
		if a.Operation != nil {
			all = append(all, styled{name + a.Operation.line(v.last.at), styleYellow})
		}
		if a.Suspended {
			all = append(all, styled{name + of.hint("suspended: requests wait; heddle resume lets them in"), styleYellow})
		}
	}
	all = append(all, styled{})
	all = append(all, v.table()...)
	const foot = "q quits"
	if v.height > 0 && len(all) > v.height-1 {
		hidden := len(all) - (v.height - 2)
		if all = all[:max(v.height-2, 0)]; v.height > 1 {
			all = append(all, styled{text: fmt.Sprintf("… %d lines more than the terminal has", hidden)})
		}
	}
	all = append(all, styled{text: foot})
	out := make([]string, len(all))
	for i, l := range all {
		out[i] = v.paint(l)
	}
	return out
}

// table is one line a worker, with its app where there are several.
func (v *topView) table() []styled {
	was := make(map[string]engine.WorkerStatus)
	for _, a := range v.before.st.each() {
		for _, w := range a.Workers {
			was[w.ID] = w
		}
	}
	var b strings.Builder
	tw := tabwriter.NewWriter(&b, 0, 0, 2, ' ', tabwriter.AlignRight)
	several := len(v.last.st.Apps) > 0
	if several {
		fmt.Fprint(tw, "APP\t")
	}
	fmt.Fprintln(tw, "INDEX\tID\tPID\tSTATE\tSINCE\tRELEASE\tSESSIONS\tREQ/S\tCPU\tMEMORY\tRESTARTS\t")
	var states []string
	for _, a := range v.last.st.each() {
		for _, w := range a.Workers {
			states = append(states, w.State)
			if several {
				fmt.Fprint(tw, a.Name, "\t")
			}
			perSecond, cpu := "-", "-"
			if old, ok := was[w.ID]; ok {
				perSecond = v.rate(float64(old.Total), float64(w.Total), "%.1f")
				if w.Memory > 0 {
					cpu = v.rate(100*old.CPU, 100*w.CPU, "%.0f%%")
				}
			}
			fmt.Fprintln(tw, strings.Join([]string{
				placeOf(w), fmt.Sprintf("%.8s", w.ID), strconv.Itoa(w.Pid), w.State, span(v.last.at.Sub(w.Since)), w.Release,
				strconv.Itoa(w.Sessions), perSecond, cpu, bytesOf(w.Memory), strconv.Itoa(w.Restarts), "",
			}, "\t"))
		}
	}
	_ = tw.Flush() // a strings.Builder does not fail
	var lines []styled
	for i, text := range strings.Split(strings.TrimRight(b.String(), "\n"), "\n") {
		l := styled{text: text}
		if i == 0 {
			l.style = styleReverse
		} else {
			l.style = map[string]string{"broken": styleRed, "dead": styleRed, "draining": styleYellow, "starting": styleYellow}[states[i-1]]
		}
		lines = append(lines, l)
	}
	return lines
}

// paint cuts a line to the width and colours it. What others have named, such as
// a release, cannot move the cursor.
func (v *topView) paint(l styled) string {
	text := strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == utf8.RuneError {
			return '?'
		}
		return r
	}, l.text)
	if v.width > 0 && utf8.RuneCountInString(text) > v.width {
		text = string([]rune(text)[:v.width])
	}
	if !v.colour || l.style == "" {
		return text
	}
	return l.style + text + stylePlain
}
