//go:build unix

package host

import "syscall"

// openFlags follow no link, and wait for nobody at a pipe.
const openFlags = syscall.O_NOFOLLOW | syscall.O_NONBLOCK
