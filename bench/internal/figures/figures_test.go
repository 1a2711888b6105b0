package figures

import (
	"strings"
	"testing"
	"time"
)

func TestMarkdown(t *testing.T) {
	var b strings.Builder
	if err := Markdown(&b, [][]string{{"stack", "µs"}, {"net/http", "1.5"}, {"x", "12,345"}}, 1); err != nil {
		t.Fatal(err)
	}
	const want = `| stack    |     µs |
|----------|-------:|
| net/http |    1.5 |
| x        | 12,345 |
`
	if b.String() != want {
		t.Errorf("got\n%s\nwant\n%s", b.String(), want)
	}
}

func TestDigits(t *testing.T) {
	for v, want := range map[float64]string{0: "0.00", 1.234: "1.23", 12.34: "12.3", 123.4: "123", 1234: "1,234", 12345678: "12,345,678"} {
		if got := Digits(v); got != want {
			t.Errorf("Digits(%v): got %s, want %s", v, got, want)
		}
	}
}

func TestDuration(t *testing.T) {
	for d, want := range map[time.Duration]string{
		564 * time.Microsecond:        "564 µs",
		1230 * time.Microsecond:       "1.23 ms",
		45600 * time.Microsecond:      "45.6 ms",
		789 * time.Millisecond:        "789 ms",
		1234 * time.Millisecond:       "1.23 s",
		0:                             "0 µs",
		999*time.Microsecond + 999999: "2.00 ms",
	} {
		if got := Duration(d); got != want {
			t.Errorf("Duration(%d): got %s, want %s", d, got, want)
		}
	}
}

func TestMedian(t *testing.T) {
	for _, tt := range []struct {
		samples []int
		want    float64
	}{{[]int{7}, 7}, {[]int{9, 1, 5}, 5}, {[]int{9, 1, 5, 7}, 6}} {
		if got := Median(tt.samples, func(n int) float64 { return float64(n) }); got != tt.want {
			t.Errorf("%v: %v, want %v", tt.samples, got, tt.want)
		}
	}
}
