package main

import "testing"

func TestAmount(t *testing.T) {
	for _, tc := range []struct {
		text string
		want int64
		back string
	}{
		{"200", 200e6, "200MB"},
		{"200MB", 200e6, "200MB"},
		{"2GiB", 2 << 30, "2GiB"},
		{"3MiB", 3 << 20, "3MiB"},
		{"4GB", 4e9, "4GB"},
		{"4000MB", 4e9, "4GB"},
	} {
		var a amount
		if err := a.Set(tc.text); err != nil || int64(a) != tc.want || a.String() != tc.back {
			t.Errorf("%s: got %d, %s, %v, want %d, %s", tc.text, int64(a), a.String(), err, tc.want, tc.back)
		}
	}
	for _, bad := range []string{"", "MB", "-1", "0", "1.5GiB", "2TiB", "2GiBMB", "9999999999GiB"} {
		a := amount(7)
		if err := a.Set(bad); err == nil || a != 7 {
			t.Errorf("%q: got %d, %v, want an error and no change", bad, int64(a), err)
		}
	}
}
