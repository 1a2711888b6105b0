//go:build !linux

package stack

import (
	"errors"
	"syscall"
)

func lineage() *syscall.SysProcAttr { return nil }

func raiseFiles(uint64) (uint64, error) { return 0, errors.ErrUnsupported }
