//go:build !linux

package stack

import (
	"errors"
	"syscall"
)

// Lineage has nothing to say outside Linux.
func Lineage() *syscall.SysProcAttr { return nil }

func raiseFiles(uint64) (uint64, error) { return 0, errors.ErrUnsupported }
