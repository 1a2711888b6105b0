// Package figures writes what benchmarks measured so that a person can read it.
package figures

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// Markdown writes a table of rows, the first of which is the head, aligned for
// those who read it as text. The first left columns stand to the left, the
// others to the right.
func Markdown(w io.Writer, rows [][]string, left int) error {
	width := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			width[i] = max(width[i], len([]rune(cell)))
		}
	}
	var b strings.Builder
	for n, row := range rows {
		for i, cell := range row {
			pad := strings.Repeat(" ", width[i]-len([]rune(cell)))
			if i < left {
				b.WriteString("| " + cell + pad + " ")
			} else {
				b.WriteString("| " + pad + cell + " ")
			}
		}
		b.WriteString("|\n")
		if n > 0 {
			continue
		}
		for i := range row {
			if i < left {
				b.WriteString("|" + strings.Repeat("-", width[i]+2))
			} else {
				b.WriteString("|" + strings.Repeat("-", width[i]+1) + ":")
			}
		}
		b.WriteString("|\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// Digits is v with as many digits as the noise leaves meaning to.
func Digits(v float64) string {
	switch {
	case v < 10:
		return fmt.Sprintf("%.2f", v)
	case v < 100:
		return fmt.Sprintf("%.1f", v)
	}
	s := fmt.Sprintf("%.0f", v)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// Duration is d with three digits.
func Duration(d time.Duration) string {
	switch {
	case d < time.Millisecond:
		return fmt.Sprintf("%d µs", d.Microseconds())
	case d < 10*time.Millisecond:
		return fmt.Sprintf("%.2f ms", float64(d)/1e6)
	case d < 100*time.Millisecond:
		return fmt.Sprintf("%.1f ms", float64(d)/1e6)
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	}
	return fmt.Sprintf("%.2f s", d.Seconds())
}

// Median is the middle of one column of samples, of which there is one at least; of an
// even number it lies between the two.
func Median[S any](samples []S, column func(S) float64) float64 {
	v := make([]float64, len(samples))
	for i, s := range samples {
		v[i] = column(s)
	}
	slices.Sort(v)
	return (v[(len(v)-1)/2] + v[len(v)/2]) / 2
}
