package systemd

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

// patience is how long a test waits for what should take moments.
const patience = 20e9 // nanoseconds

// A taken is what a child says that Take gave it.
type taken struct {
	Watchdog int64 // nanoseconds
	Listens  bool
	Names    []string
	FDs      []int
	Err      string
	Left     []string // variables that are still there
}

// TestMain makes this binary, with TAKE set, a child that prints what Take gave
// it.
func TestMain(m *testing.M) {
	if os.Getenv("TAKE") == "" {
		goleak.VerifyTestMain(m)
		return
	}
	got, err := Take()
	t := taken{Watchdog: got.Watchdog.Nanoseconds(), Listens: got.Listens()}
	for _, s := range got.Sockets {
		t.Names, t.FDs = append(t.Names, s.Name), append(t.FDs, s.FD)
	}
	if err != nil {
		t.Err = err.Error()
	}
	for _, v := range os.Environ() {
		if name, _, _ := strings.Cut(v, "="); slices.Contains(variables, name) {
			t.Left = append(t.Left, v)
		}
	}
	b, _ := json.Marshal(t) // a struct of strings and numbers
	fmt.Println(string(b))
}
