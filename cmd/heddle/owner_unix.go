//go:build unix

package main

import (
	"io/fs"
	"syscall"
)

// ownerOf is the user id that a file belongs to.
func ownerOf(fi fs.FileInfo) (uid int, known bool) {
	st, ok := fi.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, false
	}
	return int(st.Uid), true
}
