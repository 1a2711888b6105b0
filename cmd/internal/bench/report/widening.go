package report

import "math"

// widening is by how much an interval that was drawn from so many runs is too narrow.
// Drawings of n runs vary by (n-1)/n of what runs do, and what runs vary by is itself
// known the less the fewer there are, which is what Student's distribution is for.
// With one run on a side runs are not drawn, and 1 is returned.
func widening(a, b int, confidence float64) float64 {
	if a < 2 || b < 2 {
		return 1
	}
	n := float64(min(a, b))
	return math.Sqrt(n/(n-1)) * student(confidence, a+b-2) / (math.Sqrt2 * math.Erfinv(confidence))
}

// student returns the t within which, on both sides of 0, Student's distribution with
// df degrees of freedom has the share p.
func student(p float64, df int) float64 {
	low, high := 0.0, 1e6
	for range 100 {
		if mid := (low + high) / 2; within(mid, df) < p {
			low = mid
		} else {
			high = mid
		}
	}
	return high
}

// within is the share that Student's distribution has from -t to t (Abramowitz and
// Stegun, Handbook of Mathematical Functions, 26.7.3 and 26.7.4).
func within(t float64, df int) float64 {
	theta := math.Atan(t / math.Sqrt(float64(df)))
	cos2 := math.Cos(theta) * math.Cos(theta)
	if df%2 == 0 {
		sum, term := 1.0, 1.0
		for k := 2; k < df; k += 2 {
			term *= float64(k-1) / float64(k) * cos2
			sum += term
		}
		return math.Sin(theta) * sum
	}
	sum, term := 0.0, math.Cos(theta)
	for k := 1; k < df; k += 2 {
		sum += term
		term *= float64(k+1) / float64(k+2) * cos2
	}
	return 2 / math.Pi * (theta + math.Sin(theta)*sum)
}
