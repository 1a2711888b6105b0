//go:build !linux

package host

func runProgram() bool { return false }
