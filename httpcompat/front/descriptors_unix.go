//go:build unix

package front

import "syscall"

// mostClients is how many connections each address may have at once: the
// descriptors that this process may have, less some for workers, TLS and files.
// 0: no limit is known.
func mostClients() int {
	var r syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &r) != nil || r.Cur > 1<<30 {
		return 0
	}
	n := int(r.Cur)
	return max(1, n-min(max(n/8, 32), 512))
}
