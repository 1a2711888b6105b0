//go:build !linux

package main

import (
	"github.com/spf13/cobra"

	"github.com/heddle-go/heddle/cmd/internal/bench"
)

// runBench is never reached: bench has said before that it needs Linux.
func runBench(*cobra.Command, *benchFlags, bench.Thresholds) error { return errLinux }
