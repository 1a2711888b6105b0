package main

import (
	"os"
	"strings"
	"testing"

	"github.com/heddle-go/heddle/examples/apps/internal/behind"
)

func TestMain(m *testing.M) { os.Exit(behind.Main(m)) }

// The program as workers answers curl.
func TestBehind(t *testing.T) {
	behind.Need(t, "curl", "curl")
	url := behind.Heddle(t, "httpbin", []string{"--workers", "2"})
	if out := behind.Output(t, "", "curl", "-sS", "--max-time", "20", url+"/get?a=b"); !strings.Contains(out, `"a"`) {
		t.Errorf("got %s", out)
	}
}
