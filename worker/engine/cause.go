package engine

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
)

// whyNot says why the process could not be started.
func (c *child) whyNot(err error) string {
	if u := c.g.program.User; u.Foreign() && errors.Is(err, syscall.EACCES) {
		for _, path := range []string{c.e.dirOf(&c.g.program), c.g.program.Path} {
			if at := barrier(u, path); at != "" {
				return fmt.Sprintf("user %s may not pass %s on the way to %s", u, at, path)
			}
		}
	}
	if dir := c.g.program.Dir; dir != "" {
		if _, derr := os.Stat(dir); derr != nil {
			return fmt.Sprintf("its working directory %s: %v", dir, cause(derr))
		}
	}
	if of := (*os.PathError)(nil); errors.As(err, &of) && of.Path != c.g.program.Path {
		return of.Error() // of something else that is needed, such as /dev/null
	}
	if errors.Is(err, syscall.ENOENT) {
		if by := interpreter(c.g.program.Path); by != "" {
			return fmt.Sprintf("its interpreter %q: %v", by, cause(err))
		}
	}
	return cause(err).Error()
}

// interpreter is what a script's first line names (execve(2)), "" if there is none.
func interpreter(path string) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	line := make([]byte, 256) // what the kernel looks at: BINPRM_BUF_SIZE
	n, _ := io.ReadFull(f, line)
	first, _, _ := bytes.Cut(line[:n], []byte("\n"))
	by, is := bytes.CutPrefix(first, []byte("#!"))
	if !is {
		return ""
	}
	by, _, _ = bytes.Cut(bytes.TrimLeft(by, " \t"), []byte(" "))
	return string(by)
}

// cause is err without the path that an error of os.StartProcess repeats.
func cause(err error) error {
	var no syscall.Errno
	if errors.As(err, &no) {
		return no
	}
	return err
}
