package main

import (
	"encoding/xml"
	"io"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/heddle-go/heddle/bench/internal/stack"
)

func TestScale(t *testing.T) {
	s := newScale([]float64{12, 340, 25}, 0, 100)
	if s.low != 10 || s.high != 500 {
		t.Errorf("the scale goes from %v to %v, want 10 to 500", s.low, s.high)
	}
	if got := s.at(10); got != 0 {
		t.Errorf("its low end is at %v, want 0", got)
	}
	if got := s.at(500); math.Abs(got-100) > 1e-9 {
		t.Errorf("its high end is at %v, want 100", got)
	}
	if got, want := s.ticks(), []float64{10, 20, 50, 100, 200, 500}; !slices.Equal(got, want) {
		t.Errorf("ticks: got %v, want %v", got, want)
	}
	wide := newScale([]float64{15, 24000}, 0, 1)
	if got, want := wide.ticks(), []float64{10, 100, 1000, 10000}; !slices.Equal(got, want) {
		t.Errorf("ticks of a wide scale: got %v, want %v", got, want)
	}
	if flat := newScale([]float64{20, 20}, 0, 1); flat.low != 5 || flat.high != 50 {
		t.Errorf("the scale of one value goes from %v to %v, want 5 to 50", flat.low, flat.high)
	}
}

// TestDraw wants XML, and every point within its panel.
func TestDraw(t *testing.T) {
	var curves []curve
	for _, a := range axes {
		c := curve{axis: a}
		for i := range a.values {
			c.bare = append(c.bare, stack.Sample{CPU: 20 * float64(i+1)})
			c.heddle = append(c.heddle, stack.Sample{CPU: 3000 / float64(i+1)})
		}
		curves = append(curves, c)
	}
	var b strings.Builder
	if err := draw(&b, curves); err != nil {
		t.Fatal(err)
	}
	for d := xml.NewDecoder(strings.NewReader(b.String())); ; {
		if _, err := d.Token(); err == io.EOF {
			break
		} else if err != nil {
			t.Fatalf("not XML: %v\n%s", err, b.String())
		}
	}
	for i, c := range curves {
		for _, l := range newPanel(c, i).Lines {
			if len(l.Dots) != len(c.values) {
				t.Errorf("%s: %d points, want %d", c.what, len(l.Dots), len(c.values))
			}
			for _, p := range l.Dots {
				if p[0] < plotLeft || p[0] > plotLeft+plotWidth+1e-9 || p[1] < plotTop-1e-9 || p[1] > plotTop+plotHeight+1e-9 {
					t.Errorf("%s: a point at %v is outside", c.what, p)
				}
			}
		}
	}
}

func TestNames(t *testing.T) {
	for n, want := range map[int]string{100: "100 B", 1e3: "1 kB", 100e3: "100 kB", 1e6: "1 MB", 10 << 20: "10 MiB"} {
		if got := size(n); got != want {
			t.Errorf("size(%d): got %s, want %s", n, got, want)
		}
	}
	for n, want := range map[int]string{1: "1", 512: "512", 10000: "10,000"} {
		if got := count(n); got != want {
			t.Errorf("count(%d): got %s, want %s", n, got, want)
		}
	}
}
