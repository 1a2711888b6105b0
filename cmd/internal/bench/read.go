package bench

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Limits of a result that Read takes.
const (
	maxResult  = 256 << 20    // bytes
	maxListed  = maxIntervals // members of one list or object
	maxMembers = 4_000_000    // of all: an interval has some 22
	maxNested  = 32           // lists and objects within each other
)

var errNoResult = errors.New("bench: not a result")

// Read reads what Write wrote.
func Read(from io.Reader) (*Result, error) {
	p, err := io.ReadAll(io.LimitReader(from, maxResult+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("bench: %w", err)
	case len(p) > maxResult:
		return nil, fmt.Errorf("%w: it is longer than %d bytes", errNoResult, maxResult)
	case !bounded(p):
		return nil, fmt.Errorf("%w: it has more in it than a run can find out", errNoResult)
	}
	r := new(Result)
	if err := json.Unmarshal(p, r); err != nil {
		return nil, fmt.Errorf("%w: %w", errNoResult, err)
	}
	if r.Version != resultVersion {
		return nil, fmt.Errorf("bench: a result of version %d; this reads version %d", r.Version, resultVersion)
	}
	if _, err := r.Distribution(); err != nil {
		return nil, err
	}
	if err := r.check(); err != nil {
		return nil, err
	}
	return r, nil
}

// bounded says whether p, if it is JSON, has no more in it than the limits: a member of
// three bytes can take a hundred times that once it is read.
func bounded(p []byte) bool {
	var open []int // of each list or object that is open, the commas so far
	members, text := 0, false
	for i := 0; i < len(p); i++ {
		switch c := p[i]; {
		case text && c == '\\':
			i++
		case c == '"':
			text = !text
		case text:
		case c == '[' || c == '{':
			if open = append(open, 0); len(open) > maxNested {
				return false
			}
		case (c == ']' || c == '}') && len(open) > 0:
			open = open[:len(open)-1]
		case c == ',' && len(open) > 0:
			open[len(open)-1]++
			members++
			if open[len(open)-1] >= maxListed || members > maxMembers {
				return false
			}
		}
	}
	return true
}

// check refuses what no run can have found.
func (r *Result) check() error {
	if len(r.Intervals) > maxIntervals || len(r.Marks) > maxMarks {
		return fmt.Errorf("%w: %d intervals, %d marks", errNoResult, len(r.Intervals), len(r.Marks))
	}
	if k := r.Model.Kind; k != Closed && k != Open {
		return fmt.Errorf("%w: its model is %q", errNoResult, k)
	}
	within := func(d time.Duration) bool { return d >= 0 && d <= maxLength+2*maxTimeout+slack }
	ok := within(r.Warmup) && within(r.Measured)
	for i := range r.Intervals {
		v := &r.Intervals[i]
		ok = ok && within(v.Start) && within(v.Length)
		if strings.ContainsAny(v.Histogram, "\r\n") { // which base64 passes over, and a log does not
			return fmt.Errorf("%w: a histogram of several lines", errNoResult)
		}
	}
	for _, m := range r.Marks {
		ok = ok && within(m.At)
	}
	if !ok {
		return fmt.Errorf("%w: a time that is outside of any run", errNoResult)
	}
	return nil
}

// Distribution returns all latencies, in nanoseconds.
func (r *Result) Distribution() (*hdrhistogram.Histogram, error) {
	if len(r.Histogram) == 0 {
		return nil, errors.New("bench: the result has no histogram")
	}
	h, err := decode(r.Histogram)
	if err != nil {
		return nil, fmt.Errorf("bench: the result's histogram: %w", err)
	}
	return h, nil
}

// Distribution returns the interval's latencies, in nanoseconds; nil if they were not
// kept.
func (i *Interval) Distribution() (*hdrhistogram.Histogram, error) {
	if len(i.Histogram) == 0 {
		return nil, nil
	}
	h, err := decode(i.Histogram)
	if err != nil {
		return nil, fmt.Errorf("bench: the histogram of the interval at %v: %w", i.Start, err)
	}
	return h, nil
}

// decode reads what encode has written. One that tells more values apart than ours do
// is refused: it can have millions of them.
func decode(text string) (*hdrhistogram.Histogram, error) {
	h, err := hdrhistogram.Decode([]byte(text))
	if err == nil && (h.SignificantFigures() > digits || h.HighestTrackableValue() > int64(maxLatency)) {
		err = fmt.Errorf("%d digits of values up to %d; want up to %d and %d", h.SignificantFigures(), h.HighestTrackableValue(), digits, int64(maxLatency))
	}
	return h, err
}
