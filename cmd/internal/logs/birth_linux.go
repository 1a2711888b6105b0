package logs

import (
	"io/fs"
	"time"

	"golang.org/x/sys/unix"
)

// birth is when the file was made, or was last written where the file system does
// not know: an age that is too small only rotates later.
func birth(fi fs.FileInfo, path string) time.Time {
	var st unix.Statx_t
	if err := unix.Statx(unix.AT_FDCWD, path, 0, unix.STATX_BTIME, &st); err != nil || st.Mask&unix.STATX_BTIME == 0 {
		return fi.ModTime()
	}
	return time.Unix(st.Btime.Sec, int64(st.Btime.Nsec))
}
