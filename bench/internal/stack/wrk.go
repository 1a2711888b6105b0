package stack

import (
	"context"
	"fmt"
	"os/exec"
	"regexp"
	"strconv"
	"time"
)

// A Load is what wrk reports of one run.
type Load struct {
	Requests int     // answered
	Rate     float64 // requests per second
	Non2xx   int     // answered with another status than 2xx or 3xx
	Broken   int     // connect, read and write errors
	Timeouts int

	P50, P99 time.Duration // from request to answer
}

// Failed counts the requests that did not get a good answer.
func (l Load) Failed() int { return l.Non2xx + l.Broken + l.Timeouts }

// Wrk loads url with one thread and conns connections for d, in whole seconds.
// More flags of wrk's come before the url.
func Wrk(ctx context.Context, url string, conns int, d time.Duration, flags ...string) (Load, error) {
	ctx, cancel := context.WithTimeout(ctx, d+30*time.Second)
	defer cancel()
	args := append([]string{"-t1", fmt.Sprintf("-c%d", conns), fmt.Sprintf("-d%ds", int(d.Seconds())), "--latency"}, flags...)
	cmd := exec.CommandContext(ctx, "wrk", append(args, url)...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return Load{}, fmt.Errorf("wrk: %w\n%s", err, out)
	}
	return parseWrk(out)
}

var (
	wrkRequests = regexp.MustCompile(`(?m)^ *(\d+) requests in `)
	wrkRate     = regexp.MustCompile(`(?m)^Requests/sec: +([\d.]+)`)
	wrkNon2xx   = regexp.MustCompile(`(?m)^ *Non-2xx or 3xx responses: (\d+)`)
	wrkLatency  = regexp.MustCompile(`(?m)^ +(50|99)% +([\d.]+(?:us|ms|s|m|h))\b`)
	wrkErrors   = regexp.MustCompile(`(?m)^ *Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)`)
)

// parseWrk reads wrk's report. The lines on errors are there only when there
// were some.
func parseWrk(out []byte) (Load, error) {
	var l Load
	requests, rate := wrkRequests.FindSubmatch(out), wrkRate.FindSubmatch(out)
	if requests == nil || rate == nil {
		return l, fmt.Errorf("stack: not a report of wrk: %q", out)
	}
	num := func(b []byte) int { n, _ := strconv.Atoi(string(b)); return n } // digits, by the patterns
	l.Requests = num(requests[1])
	l.Rate, _ = strconv.ParseFloat(string(rate[1]), 64)
	if m := wrkNon2xx.FindSubmatch(out); m != nil {
		l.Non2xx = num(m[1])
	}
	if m := wrkErrors.FindSubmatch(out); m != nil {
		l.Broken = num(m[1]) + num(m[2]) + num(m[3])
		l.Timeouts = num(m[4])
	}
	for _, m := range wrkLatency.FindAllSubmatch(out, -1) {
		d, err := time.ParseDuration(string(m[2]))
		if err != nil {
			return l, fmt.Errorf("stack: wrk's latency: %w", err)
		}
		if string(m[1]) == "50" {
			l.P50 = d
		} else {
			l.P99 = d
		}
	}
	return l, nil
}
