package main

import (
	"os"
	"os/exec"
	"testing"

	"github.com/heddle-go/heddle/worker/workertest"
)

const envProgram = "ECHO_TEST_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(envProgram) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// TestProgram: the whole program under both runtimes, by their own flags.
func TestProgram(t *testing.T) {
	for _, v := range []workertest.Version{workertest.Runtime011, workertest.Runtime012} {
		r := workertest.NewRuntime(t, v, workertest.RuntimeOptions{})
		cmd := exec.CommandContext(t.Context(), os.Args[0], r.Args()...)
		cmd.Env = append(os.Environ(), envProgram+"=1")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		c, err := r.Ask("echo", []byte("hello"))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := c.Answer(); string(got) != "hello" || err != nil {
			t.Errorf("%v: got %q, %v", v, got, err)
		}
		if err := r.Terminate(1, "slave is idle"); err != nil {
			t.Error(err)
		}
		if err := cmd.Wait(); err != nil {
			t.Errorf("%v: exit: %v", v, err)
		}
	}
}
