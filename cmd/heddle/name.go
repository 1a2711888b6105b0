package main

import "github.com/heddle-go/heddle/cmd/internal/config"

// checkName refuses what a daemon may not be called.
func checkName(name string) error { return config.CheckName("a daemon's", name) }
