package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"regexp"
	"strconv"
	"time"
)

// A load is what a generator is to do: closed loop, or rate requests a second.
type load struct {
	url   string
	conns int
	d     time.Duration // in whole seconds
	rate  int           // 0: closed loop
}

// A report is what a generator says came of a load, and what it cost.
type report struct {
	answers int
	rate    float64 // answers per second
	cpu     time.Duration
	at      map[string]time.Duration // latencies, by the name of the percentile; those it tells

	late map[string]time.Duration // how far behind the schedule requests left; heddle's alone
}

func (r report) cpuEach() float64 { // µs
	return float64(r.cpu.Microseconds()) / float64(max(r.answers, 1))
}

// A generator is a program that makes requests, with one thread.
type generator struct {
	name    string
	program string
	args    func(l load) []string
	parse   func(out []byte) (report, error)
}

// generators are all, the one that ratios are to first.
var generators = []generator{
	{"wrk", "wrk", wrkArgs, parseWrk},
	{"heddle bench", "heddle", heddleArgs, parseHeddle},
	{"heddle bench --no-ids", "heddle", func(l load) []string { return append(heddleArgs(l), "--no-ids") }, parseHeddle},
	{"h2load", "h2load", h2loadArgs, parseH2load},
	{"hey", "hey", heyArgs, parseHey},
}

// run makes the requests.
func (g generator) run(ctx context.Context, tools map[string]string, l load) (report, error) {
	ctx, cancel := context.WithTimeout(ctx, l.d+30*time.Second)
	defer cancel()
	var out, complaints bytes.Buffer
	cmd := exec.CommandContext(ctx, tools[g.program], g.args(l)...)
	cmd.Stdout, cmd.Stderr = &out, &complaints
	if err := cmd.Run(); err != nil {
		return report{}, fmt.Errorf("%s: %w\n%s%s", g.name, err, out.Bytes(), complaints.Bytes())
	}
	r, err := g.parse(out.Bytes())
	if err != nil {
		return r, fmt.Errorf("%s: %w", g.name, err)
	}
	if r.answers == 0 {
		return r, fmt.Errorf("%s: no answers: %q", g.name, out.Bytes())
	}
	r.cpu = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	return r, nil
}

func seconds(d time.Duration) string { return strconv.Itoa(int(d / time.Second)) }

func wrkArgs(l load) []string {
	return []string{"-t1", fmt.Sprintf("-c%d", l.conns), "-d" + seconds(l.d) + "s", "--latency", l.url}
}

func heddleArgs(l load) []string {
	args := []string{"bench", "--json", "-c", strconv.Itoa(l.conns), "-d", seconds(l.d) + "s"}
	if l.rate > 0 {
		args = append(args, "-r", strconv.Itoa(l.rate))
	}
	return append(args, l.url)
}

func h2loadArgs(l load) []string {
	return []string{"--h1", "-t1", fmt.Sprintf("-c%d", l.conns), "-D" + seconds(l.d), l.url}
}

// heyArgs has hey's rate, which is of each connection.
func heyArgs(l load) []string {
	args := []string{"-cpus", "1", "-c", strconv.Itoa(l.conns), "-z", seconds(l.d) + "s"}
	if l.rate > 0 {
		args = append(args, "-q", strconv.FormatFloat(float64(l.rate)/float64(l.conns), 'g', -1, 64))
	}
	return append(args, l.url)
}

var (
	wrkRequests = regexp.MustCompile(`(?m)^ *(\d+) requests in `)
	wrkRate     = regexp.MustCompile(`(?m)^Requests/sec: +([\d.]+)`)
	wrkLatency  = regexp.MustCompile(`(?m)^ +(50|75|90|99)% +([\d.]+(?:us|ms|s|m|h))\b`)

	h2loadRate     = regexp.MustCompile(`(?m)^finished in .*, ([\d.]+) req/s`)
	h2loadRequests = regexp.MustCompile(`(?m)^requests: .* (\d+) succeeded`)

	heyRate     = regexp.MustCompile(`(?m)^ *Requests/sec:\s+([\d.]+)`)
	heyAnswers  = regexp.MustCompile(`(?m)^ *\[200\]\s+(\d+) responses`)
	heyLatency  = regexp.MustCompile(`(?m)^ *(50|75|90|95|99)%+ in ([\d.]+) secs`)
	errNoReport = errors.New("not its report")
)

// parse reads the number of answers and their rate.
func parse(out []byte, answers, rate *regexp.Regexp) (r report, err error) {
	n, f := answers.FindSubmatch(out), rate.FindSubmatch(out)
	if n == nil || f == nil {
		return r, fmt.Errorf("%w: %q", errNoReport, out)
	}
	r.answers, err = strconv.Atoi(string(n[1]))
	if err == nil {
		r.rate, err = strconv.ParseFloat(string(f[1]), 64)
	}
	r.at = make(map[string]time.Duration)
	return r, err
}

func parseWrk(out []byte) (report, error) {
	r, err := parse(out, wrkRequests, wrkRate)
	for _, m := range wrkLatency.FindAllSubmatch(out, -1) {
		d, e := time.ParseDuration(string(m[2]))
		err = errors.Join(err, e)
		r.at["p"+string(m[1])] = d
	}
	return r, err
}

func parseH2load(out []byte) (report, error) { return parse(out, h2loadRequests, h2loadRate) }

func parseHey(out []byte) (report, error) {
	r, err := parse(out, heyAnswers, heyRate)
	for _, m := range heyLatency.FindAllSubmatch(out, -1) {
		d, e := time.ParseDuration(string(m[2]) + "s")
		err = errors.Join(err, e)
		r.at["p"+string(m[1])] = d
	}
	return r, err
}

func parseHeddle(out []byte) (report, error) {
	var v struct {
		Answered, Late int
		Rate           float64
		Latency        map[string]time.Duration
		Own            struct{ Late map[string]time.Duration }
	}
	if err := json.Unmarshal(out, &v); err != nil {
		return report{}, fmt.Errorf("%w: %w", errNoReport, err)
	}
	return report{answers: v.Answered + v.Late, rate: v.Rate, at: v.Latency, late: v.Own.Late}, nil
}
