package main

import (
	"fmt"
	"strings"
	"unicode"

	"github.com/heddle-go/heddle/cmd/internal/config"
)

// checkName refuses what a daemon may not be called.
func checkName(name string) error { return config.CheckName("a daemon's", name) }

// printable is a name that somebody gave as it may be shown.
func printable(name string) string {
	if len(name) > 64 || strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return fmt.Sprintf("%.64q", name)
	}
	return name
}
