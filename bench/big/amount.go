package main

import (
	"fmt"
	"strconv"
	"strings"
)

// An amount is a number of bytes, written with a unit or as a number of MB.
type amount int64

var units = []struct {
	name  string
	bytes int64
}{{"MiB", 1 << 20}, {"GiB", 1 << 30}, {"MB", 1e6}, {"GB", 1e9}}

// String writes a with the largest unit that it is a whole number of.
func (a *amount) String() string {
	best := fmt.Sprint(int64(*a))
	largest := int64(0)
	for _, u := range units {
		if int64(*a)%u.bytes == 0 && u.bytes > largest {
			best, largest = fmt.Sprint(int64(*a)/u.bytes, u.name), u.bytes
		}
	}
	return strings.ReplaceAll(best, " ", "")
}

// Set reads what a flag says.
func (a *amount) Set(s string) error {
	number, unit := s, int64(1e6)
	for _, u := range units {
		if n, ok := strings.CutSuffix(s, u.name); ok {
			number, unit = n, u.bytes
		}
	}
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil || n < 1 || n > 1<<50/unit {
		return fmt.Errorf("want a number of MB, or one with its unit, as in 200MB or 2GiB")
	}
	*a = amount(n * unit)
	return nil
}
