//go:build !unix

package logs

import (
	"io/fs"
	"os"
)

// openFile opens a log.
func openFile(path string, flag int, mode fs.FileMode) (*os.File, error) {
	return os.OpenFile(path, flag, mode)
}

// openRotated opens a rotated file for reading.
func openRotated(name string) (*os.File, error) { return os.Open(name) }
