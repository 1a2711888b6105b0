package main

import (
	"slices"
	"testing"
)

func TestSize(t *testing.T) {
	for text, want := range map[string]int64{
		"0": 0, "1": 1, "1048576": 1 << 20, "1K": 1000, "1Ki": 1024, "512Mi": 512 << 20, "2G": 2e9, "2GiB": 2 << 30, "3MB": 3e6, "8191Ti": 8191 << 40, "9T": 9e12,
	} {
		var s size
		if err := s.Set(text); err != nil || int64(s) != want {
			t.Errorf("%q: got %d, %v, want %d", text, s, err, want)
		}
		var again size
		if err := again.Set(s.String()); err != nil || again != s {
			t.Errorf("%q: %s is %d, %v", text, s.String(), again, err)
		}
	}
	for _, text := range []string{"", "lots", "-1", "+1", "1.5G", "1 G", "1k", "1mi", "G", "i", "1Gi1", "9223372036854775808", "8388608Ti"} {
		var s size
		if err := s.Set(text); err == nil {
			t.Errorf("%q is taken as %d", text, s)
		}
	}
}

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
