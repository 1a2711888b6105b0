package bench

import (
	"math"
	"testing"
	"time"
)

func mustPace(t testing.TB, stages string, poisson bool, seed uint64) *Pace {
	t.Helper()
	s, err := ParseStages(stages)
	if err != nil {
		t.Fatal(err)
	}
	p, err := NewPace(s, poisson, seed)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// schedule is everything that p has due.
func schedule(p *Pace) (all []time.Duration) {
	var last time.Duration
	for n := uint64(0); ; n++ {
		due, ok := p.Due(last, n)
		if !ok {
			return all
		}
		all = append(all, due)
		last = due
	}
}

func TestPaceConstant(t *testing.T) {
	all := schedule(mustPace(t, "10s:1000", false, 0))
	if len(all) != 10_000 {
		t.Fatalf("got %d requests, want 10000", len(all))
	}
	for n, due := range all {
		if want := time.Duration(n) * time.Millisecond; (due - want).Abs() > time.Microsecond {
			t.Fatalf("request %d is due at %v, want %v", n, due, want)
		}
	}
}

func TestPaceStages(t *testing.T) {
	for _, tt := range []struct {
		stages string
		want   map[int]time.Duration // some requests and when they are due
		total  int
	}{
		{"1s:10,2s:100", map[int]time.Duration{0: 0, 9: 900 * time.Millisecond, 10: time.Second, 110: 2 * time.Second}, 210},
		{"10s:0-100", map[int]time.Duration{0: 0, 125: 5 * time.Second}, 500}, // 5·t² of them by t
		{"10s:100-0", map[int]time.Duration{0: 0, 375: 5 * time.Second}, 500},
		{"1s:10,1s:0,1s:10", map[int]time.Duration{9: 900 * time.Millisecond, 10: 2 * time.Second}, 20},
		{"1s:10,2s:-30,1s:5", map[int]time.Duration{10: time.Second, 50: 3 * time.Second}, 55},
		{"1s:0.5", map[int]time.Duration{0: 0}, 1},
	} {
		all := schedule(mustPace(t, tt.stages, false, 0))
		if len(all) != tt.total {
			t.Errorf("%s: got %d requests, want %d", tt.stages, len(all), tt.total)
			continue
		}
		for n, want := range tt.want {
			if (all[n] - want).Abs() > time.Microsecond {
				t.Errorf("%s: request %d is due at %v, want %v", tt.stages, n, all[n], want)
			}
		}
		for n := 1; n < len(all); n++ {
			if all[n] < all[n-1] {
				t.Errorf("%s: request %d is due before the one before", tt.stages, n)
			}
		}
	}
}

// TestPacePoisson: as many as the rate says, within four standard deviations, with
// gaps whose mean and deviation are the same and whose share below the mean is 1-1/e.
func TestPacePoisson(t *testing.T) {
	for seed := range uint64(5) {
		p := mustPace(t, "100s:1000", true, seed)
		all := schedule(p)
		const want = 100_000
		if d := math.Abs(float64(len(all)) - want); d > 4*math.Sqrt(want) {
			t.Errorf("seed %d: got %d requests, want about %d", seed, len(all), want)
		}
		var sum, squares float64
		short, last := 0, time.Duration(0)
		for _, due := range all {
			gap := (due - last).Seconds()
			if gap < 0 {
				t.Fatalf("seed %d: due at %v after %v", seed, due, last)
			}
			if gap < 0.001 {
				short++
			}
			sum += gap
			squares += gap * gap
			last = due
		}
		n := float64(len(all))
		mean := sum / n
		if dev := math.Sqrt(squares/n - mean*mean); math.Abs(dev/mean-1) > 0.02 {
			t.Errorf("seed %d: the gaps' deviation is %v, their mean %v; want them equal", seed, dev, mean)
		}
		if share := float64(short) / n; math.Abs(share-(1-1/math.E)) > 0.01 {
			t.Errorf("seed %d: %v of the gaps are below the mean, want %v", seed, share, 1-1/math.E)
		}
		again := schedule(mustPace(t, "100s:1000", true, seed))
		if len(again) != len(all) || again[500] != all[500] {
			t.Errorf("seed %d: another schedule the second time", seed)
		}
	}
	a, b := schedule(mustPace(t, "1s:1000", true, 1)), schedule(mustPace(t, "1s:1000", true, 2))
	if a[10] == b[10] {
		t.Error("two seeds have one schedule")
	}
}

func TestPacePoissonStages(t *testing.T) {
	all := schedule(mustPace(t, "10s:1000,10s:0,10s:3000", true, 7))
	var in [3]int
	for _, due := range all {
		in[due/(10*time.Second)]++
	}
	for i, want := range []float64{10_000, 0, 30_000} {
		if math.Abs(float64(in[i])-want) > 4*math.Sqrt(want) {
			t.Errorf("stage %d: got %d requests, want about %v", i, in[i], want)
		}
	}
}

func TestPaceRate(t *testing.T) {
	p := mustPace(t, "10s:100,10s:-200,5s:7", false, 0)
	for at, want := range map[time.Duration]float64{0: 100, 15 * time.Second: 150, 21 * time.Second: 7, 25 * time.Second: 0} {
		if got := p.Rate(at); math.Abs(got-want) > 1e-9 {
			t.Errorf("at %v: got %v/s, want %v", at, got, want)
		}
	}
}

func TestStagesRefused(t *testing.T) {
	for _, text := range []string{"", "10s", "10s:", ":5", "x:5", "10s:x", "-1s:5", "0s:5", "10s:1e99", "10s:NaN", "10s:5,", "10s:5-", "10s:1-2-3"} {
		if s, err := ParseStages(text); err == nil {
			t.Errorf("%q: got %v, want an error", text, s)
		}
	}
	for _, s := range [][]Stage{nil, {{time.Second, 0, 0}}, {{time.Second, math.NaN(), 1}}, {{-1, 1, 1}}, {{maxLength, 1, 1}, {1, 1, 1}}} {
		if _, err := NewPace(s, false, 0); err == nil {
			t.Errorf("%v: no error", s)
		}
	}
}

// TestPaceShares: what several loops have of a schedule is the whole of it.
func TestPaceShares(t *testing.T) {
	for _, poisson := range []bool{false, true} {
		p := mustPace(t, "1s:100,1s:0,1s:100-900", poisson, 5)
		all := schedule(p)
		for _, threads := range []int{1, 2, 7} {
			for i := range threads {
				first, _ := p.Due(0, 0)
				due, ok := p.after(first, 0, uint64(i))
				n := i
				for ; ok; n += threads {
					if n >= len(all) || due != all[n] {
						t.Fatalf("poisson %v, share %d of %d: request %d is due at %v, which the schedule does not say", poisson, i, threads, n, due)
					}
					due, ok = p.after(due, uint64(n), uint64(threads))
				}
				if n < len(all) {
					t.Errorf("poisson %v, share %d of %d: ends before request %d of %d", poisson, i, threads, n, len(all))
				}
			}
		}
	}
}
