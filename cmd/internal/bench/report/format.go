package report

import (
	"math"
	"strconv"
	"strings"
	"time"
)

// duration is d with three digits and a unit.
func duration(d time.Duration) string {
	switch f := float64(d); {
	case d >= 100*time.Second:
		return d.Round(time.Second).String()
	case d >= time.Second:
		return digits(f/1e9) + " s"
	case d >= time.Millisecond:
		return digits(f/1e6) + " ms"
	case d >= time.Microsecond:
		return digits(f/1e3) + " µs"
	}
	return strconv.FormatInt(int64(d), 10) + " ns"
}

// digits is f with three of them, without an exponent up to a million.
func digits(f float64) string {
	switch a := math.Abs(f); {
	case a >= 1e6:
		return strconv.FormatFloat(f, 'g', 4, 64)
	case a >= 100 || a == 0:
		return strconv.FormatFloat(f, 'f', 0, 64)
	}
	return strconv.FormatFloat(f, 'g', 3, 64)
}

// count is n with a thin gap between thousands.
func count(n uint64) string {
	s := strconv.FormatUint(n, 10)
	var b strings.Builder
	for i, c := range s {
		if i > 0 && (len(s)-i)%3 == 0 {
			b.WriteRune('\u2009')
		}
		b.WriteRune(c)
	}
	return b.String()
}

// grouped is f with whole numbers from 1000 on, as count has them.
func grouped(f float64) string {
	if f >= 1000 && f < 1e15 {
		return count(uint64(math.Round(f)))
	}
	return digits(f)
}

// moment is a time of the run: 12 s, 1m30s, 2h5m.
func moment(d time.Duration) string {
	if d < time.Minute {
		return strconv.FormatFloat(d.Round(10*time.Millisecond).Seconds(), 'f', -1, 64) + " s"
	}
	s := d.Round(time.Second).String()
	if strings.HasSuffix(s, "m0s") {
		s = s[:len(s)-2]
	}
	if strings.HasSuffix(s, "h0m") {
		s = s[:len(s)-2]
	}
	return s
}
