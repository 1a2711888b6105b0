package httpcompat_test

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

// docs/fidelity.md has a line for each difference that the tests know, and no
// other.
func TestFidelityDocumented(t *testing.T) {
	page, err := os.ReadFile("../docs/fidelity.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, ok := strings.Cut(string(page), "\n## Differences\n")
	if !ok {
		t.Fatal("docs/fidelity.md has no section «Differences»")
	}
	section, _, _ = strings.Cut(section, "\n## ")
	var got, want []string
	for line := range strings.Lines(section) {
		if strings.HasPrefix(line, "* **") {
			got = append(got, strings.TrimSuffix(line, "\n"))
		}
	}
	add := func(name, why string) {
		if why != "" {
			want = append(want, fmt.Sprintf("* **%s**: %s.", name, why))
		}
	}
	for _, f := range fidelities() {
		add(f.name, f.differs)
	}
	for _, proto := range protocols {
		for _, f := range secureds {
			add("TLS, "+proto+": "+f.name, f.differs[proto])
		}
	}
	for _, line := range want {
		if !slices.Contains(got, line) {
			t.Errorf("missing: %s", line)
		}
	}
	for _, line := range got {
		if !slices.Contains(want, line) {
			t.Errorf("no test shows: %s", line)
		}
	}
}
