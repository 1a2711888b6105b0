package config

import "testing"

func TestSize(t *testing.T) {
	for text, want := range map[string]int64{
		"0": 0, "1": 1, "1048576": 1 << 20, "1K": 1000, "1Ki": 1024, "512Mi": 512 << 20, "2G": 2e9, "2GiB": 2 << 30, "3MB": 3e6, "8191Ti": 8191 << 40, "9T": 9e12,
	} {
		var s Size
		if err := s.Set(text); err != nil || int64(s) != want {
			t.Errorf("%q: got %d, %v, want %d", text, s, err, want)
		}
		var again Size
		if err := again.Set(s.String()); err != nil || again != s {
			t.Errorf("%q: %s is %d, %v", text, s.String(), again, err)
		}
	}
	for _, text := range []string{"", "lots", "-1", "+1", "1.5G", "1 G", "1k", "1mi", "G", "i", "1Gi1", "9223372036854775808", "8388608Ti"} {
		var s Size
		if err := s.Set(text); err == nil {
			t.Errorf("%q is taken as %d", text, s)
		}
	}
}
