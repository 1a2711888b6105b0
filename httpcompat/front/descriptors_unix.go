//go:build unix

package front

import "syscall"

// MostClients is the default of Limits.MaxClients: the descriptors that this process
// may have, less an eighth for workers, TLS and files, which is at least 32 and at
// most 512. 0: no limit is known.
func MostClients() int {
	var r syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &r) != nil || r.Cur > 1<<30 {
		return 0
	}
	n := int(r.Cur)
	return max(1, n-min(max(n/8, 32), 512))
}
