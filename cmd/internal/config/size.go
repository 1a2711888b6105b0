package config

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// A Size is a number of bytes as people write it: 1048576, 1000K, 512Mi, 2G. An
// upper-case letter alone means powers of 1000, with an i behind it powers of
// 1024 (IEC 80000-13). It is a flag's value, too.
type Size int64

var suffixes = []struct {
	text string
	unit int64
}{{"Ti", 1 << 40}, {"Gi", 1 << 30}, {"Mi", 1 << 20}, {"Ki", 1 << 10}, {"T", 1e12}, {"G", 1e9}, {"M", 1e6}, {"K", 1e3}, {"", 1}}

// Set is pflag.Value's.
func (s *Size) Set(text string) error {
	for _, x := range suffixes {
		digits, ok := strings.CutSuffix(strings.TrimSuffix(text, "B"), x.text)
		if !ok {
			continue
		}
		n, err := strconv.ParseUint(digits, 10, 63)
		if err != nil || int64(n) > math.MaxInt64/x.unit {
			break
		}
		*s = Size(int64(n) * x.unit)
		return nil
	}
	return fmt.Errorf("%q is no number of bytes: want digits, and one of K, M, G, T, Ki, Mi, Gi, Ti behind them if you like", text)
}

// String is pflag.Value's: the largest unit that leaves a whole number.
func (s *Size) String() string {
	for _, x := range suffixes {
		if *s != 0 && int64(*s)%x.unit == 0 {
			return strconv.FormatInt(int64(*s)/x.unit, 10) + x.text
		}
	}
	return "0"
}

// Type is pflag.Value's, and shown in the help.
func (s *Size) Type() string { return "size" }
