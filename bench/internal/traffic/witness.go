package traffic

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"strings"
)

// served counts how often each request stands in a witness.
func served(r io.Reader) (map[string]int, error) {
	times := make(map[string]int)
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		id, _, ok := strings.Cut(lines.Text(), " ")
		if !ok {
			return nil, fmt.Errorf("traffic: not a line of a witness: %q", lines.Text())
		}
		times[id]++
	}
	return times, lines.Err()
}

// Twice are the ids of the requests that the witness has more than once.
func Twice(witness string) ([]string, error) {
	f, err := os.Open(witness)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	times, err := served(f)
	if err != nil {
		return nil, err
	}
	var twice []string
	for id, n := range times {
		if n > 1 {
			twice = append(twice, id)
		}
	}
	return twice, nil
}

// audit adds to the counts what the witness has seen twice of this run's
// requests, and is an error where the witness cannot be relied on: it must have
// every request that was answered well.
func (l *ledger) audit(r io.Reader) error {
	times, err := served(r)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	var seen, good int
	for k := range l.counts {
		l.counts[k].Twice = 0
		good += l.counts[k].OK
	}
	for id, n := range times {
		k, ok := kindOf(id)
		if _, rest, _ := strings.Cut(id, "-"); !ok || !strings.HasPrefix(rest, l.run+"-") {
			continue
		}
		seen++
		if n > 1 {
			l.counts[k].Twice++
		}
	}
	if seen < good {
		return fmt.Errorf("traffic: %d requests were answered well, but the witness has only %d", good, seen)
	}
	return nil
}
