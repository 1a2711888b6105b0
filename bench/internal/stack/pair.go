package stack

import (
	"context"
	"path/filepath"
	"strings"
)

// Pair starts one program twice: by hand, as a net/http server on its flag
// -addr, and as workers of heddle, under a name of this process, so that
// benchmarks may run side by side. Both programs have been built into dir. The
// caller stops both.
func Pair(ctx context.Context, dir, program string, workers int) (bare, heddle *Stack, err error) {
	path := filepath.Join(dir, program)
	addr, err := FreeAddr()
	if err != nil {
		return nil, nil, err
	}
	bare, err = Start(ctx, "net/http", "http://"+addr+"/", path, "-addr", addr)
	if err != nil {
		return nil, nil, err
	}
	heddle, err = Heddle(ctx, dir, program, workers)
	if err != nil {
		bare.Stop()
		return nil, nil, err
	}
	return bare, heddle, nil
}

// Addr is the host and port of s.URL.
func (s *Stack) Addr() string {
	addr, _, _ := strings.Cut(strings.TrimPrefix(s.URL, "http://"), "/")
	return addr
}

// Target is the path of s.URL, which ends with a slash.
func (s *Stack) Target() string { return strings.TrimPrefix(s.URL, "http://"+s.Addr()) }
