//go:build !unix

package ipc

import (
	"os"

	"github.com/heddle-go/heddle/session"
)

func dup(uintptr) (*os.File, error) { return nil, session.ErrUnsupported }
