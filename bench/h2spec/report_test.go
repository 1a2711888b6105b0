package main

import (
	"slices"
	"testing"
)

func TestParseReport(t *testing.T) {
	r, err := parseReport([]byte(`<?xml version="1.0" encoding="UTF-8"?>
<testsuites>
  <testsuite name="3.1. One" package="http2/3.1" id="3.1" tests="2" skipped="0" failures="1" errors="0">
    <testcase package="http2/3.1" classname="Sends this" time="0.01"></testcase>
    <testcase package="http2/3.1" classname="Sends that" time="2.00">
      <failure>GOAWAY Frame (Error Code: PROTOCOL_ERROR)&#xA;Timeout</failure>
    </testcase>
  </testsuite>
  <testsuite name="3.2. Two" package="http2/3.2" id="3.2" tests="2" skipped="1" failures="0" errors="1">
    <testcase package="http2/3.2" classname="Sends neither" time="0"><skipped></skipped></testcase>
    <testcase package="http2/3.2" classname="Sends both" time="0"><error>refused</error></testcase>
  </testsuite>
</testsuites>`))
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"http2/3.1: Sends that", "http2/3.2: Sends both"}; !slices.Equal(r.failed, want) || r.String() != "1 of 4 (1 skipped)" {
		t.Errorf("got %s, %q", r, r.failed)
	}
	if got := r.worse(result{failed: []string{"http2/3.2: Sends both", "other"}}); !slices.Equal(got, []string{"http2/3.1: Sends that"}) {
		t.Errorf("worse: got %q", got)
	}
	for _, bad := range []string{"", "<testsuites>", "<testsuites></testsuites>"} {
		if _, err := parseReport([]byte(bad)); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}
