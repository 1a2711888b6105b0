package main

import "github.com/heddle-go/heddle/cmd/internal/config"

// A size is a flag's number of bytes, as heddle.toml has it.
type size = config.Size
