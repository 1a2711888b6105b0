//go:build !linux

package httpcompat_test

func program() {}
