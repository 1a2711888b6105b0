package heddle_test

import (
	"os"
	"strings"
	"testing"
)

// TestDrawings holds the state machines that ARCHITECTURE.md shows against the
// golden files, which the rooms' own tests hold against their tables.
func TestDrawings(t *testing.T) {
	page, err := os.ReadFile("ARCHITECTURE.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{"worker/testdata/lifecycle.mermaid", "worker/engine/testdata/lifecycle.mmd"} {
		drawing, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(page), "```mermaid\n"+strings.TrimSpace(string(drawing))+"\n```") {
			t.Errorf("ARCHITECTURE.md does not show %s as it is", file)
		}
	}
}
