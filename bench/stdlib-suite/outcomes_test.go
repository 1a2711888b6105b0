package main

import (
	"slices"
	"testing"
)

// What a test program prints becomes counts: leaves only, and what has begun and
// not ended has failed.
func TestOutcomes(t *testing.T) {
	passed, failed, skipped := outcomes([]byte(`=== RUN   TestA
=== RUN   TestA/h1
=== RUN   TestA/h2
--- FAIL: TestA (0.01s)
    --- PASS: TestA/h1 (0.00s)
    --- FAIL: TestA/h2 (0.00s)
=== RUN   TestB
    x_test.go:1: text --- PASS: of its own
--- SKIP: TestB (0.00s)
=== RUN   TestC
--- PASS: TestC (0.00s)
=== RUN   TestD
=== RUN   TestD/hangs
panic: test timed out
`))
	if !slices.Equal(slices.Sorted(slices.Values(passed)), []string{"TestA/h1", "TestC"}) || !slices.Equal(failed, []string{"TestA/h2", "TestD/hangs"}) || skipped != 1 {
		t.Errorf("passed %v, failed %v, skipped %d", passed, failed, skipped)
	}
	if subtests(passed) != 1 || subtests(failed) != 2 {
		t.Error("subtests miscounted")
	}
}

// The statement before which the front is put in is found, or a word says that
// it is not.
func TestStartOf(t *testing.T) {
	src := "package p\n\nfunc newClientServerTest() {\n\tswitch x {\n\t}\n\tswitch mode {\n\t}\n}\n"
	at, err := startOf([]byte(src))
	if err != nil || src[at:at+11] != "switch mode" {
		t.Errorf("%d, %v", at, err)
	}
	if _, err := startOf([]byte("package p\n")); err == nil {
		t.Error("found where there is none")
	}
}
