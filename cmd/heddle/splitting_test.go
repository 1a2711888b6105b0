package main

import (
	"slices"
	"testing"
)

func TestShield(t *testing.T) {
	for _, tt := range []struct{ args, want []string }{
		{[]string{"restart", "-2"}, []string{"restart", "--", "-2"}},
		{[]string{"restart", "-2", "--name", "x"}, []string{"restart", "--name", "x", "--", "-2"}},
		{[]string{"restart", "--json", "-2,4"}, []string{"restart", "--json", "--", "-2,4"}},
		{[]string{"scale", "-1"}, []string{"scale", "--", "-1"}},
		{[]string{"scale", "2", "--standbys", "-1"}, []string{"scale", "2", "--standbys", "-1"}},
		{[]string{"restart", "--", "-2"}, []string{"restart", "--", "-2"}},
		{[]string{"restart", "-x"}, []string{"restart", "-x"}},
		{[]string{"restart", "-"}, []string{"restart", "-"}},
		{[]string{"status", "-1"}, []string{"status", "-1"}},
		{[]string{"scale"}, []string{"scale"}},
		{nil, nil},
	} {
		given := slices.Clone(tt.args)
		if got := shield(tt.args); !slices.Equal(got, tt.want) || !slices.Equal(tt.args, given) {
			t.Errorf("%q: got %q (and %q), want %q", given, got, tt.args, tt.want)
		}
	}
}

func TestSplitTarget(t *testing.T) {
	for _, tt := range []struct {
		args   []string
		dash   int
		target string
		want   []string // nil: as before
	}{
		{nil, -1, "", nil},
		{[]string{"x"}, -1, "x", nil},
		{[]string{"x"}, 1, "x", []string{}},
		{[]string{"x", "-a", "b"}, 1, "x", []string{"-a", "b"}},
		{[]string{"-a"}, 0, "", []string{"-a"}},
	} {
		target, got, err := splitTarget(tt.args, tt.dash)
		if err != nil || target != tt.target || !slices.Equal(got, tt.want) || (got == nil) != (tt.want == nil) {
			t.Errorf("%q, %d: got %q %q %v", tt.args, tt.dash, target, got, err)
		}
	}
}
