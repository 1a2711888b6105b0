package stack

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"sync/atomic"
)

var started atomic.Int64 // heddles of this process, so that no two have one name

// HeddleHTTP starts a program, built into dir beside heddle itself, as workers of
// heddle run --http that are given args.
func HeddleHTTP(ctx context.Context, dir, program string, workers int, args ...string) (*Stack, error) {
	return startHeddle(ctx, dir, program, workers, []string{"--http"}, args)
}

// Heddle starts a program, built into dir beside heddle itself, as workers of
// heddle run with its defaults, and what flags add to them.
func Heddle(ctx context.Context, dir, program string, workers int, flags ...string) (*Stack, error) {
	return startHeddle(ctx, dir, program, workers, flags, nil)
}

func startHeddle(ctx context.Context, dir, program string, workers int, flags, programArgs []string) (*Stack, error) {
	addr, err := FreeAddr()
	if err != nil {
		return nil, err
	}
	name := fmt.Sprintf("bench-%s-%d-%d", program, os.Getpid(), started.Add(1))
	control := filepath.Join(dir, name+".sock")
	args := append([]string{"run", "--name", name, "--workers", strconv.Itoa(workers), "--listen", addr, "--control", control}, flags...)
	s, err := Start(ctx, "heddle", "http://"+addr+"/", filepath.Join(dir, "heddle"), append(append(args, filepath.Join(dir, program), "--"), programArgs...)...)
	if err != nil {
		return nil, err
	}
	s.control, s.App = control, name
	return s, nil
}

// HeddleProxy starts heddle proxy before a program, built into dir beside heddle itself,
// that a worker of heddle run --locator serves. The chain has its defaults; storage is
// a directory for the latter.
func HeddleProxy(ctx context.Context, dir, program, storage string) (*Stack, error) {
	locator, err := FreeAddr()
	if err != nil {
		return nil, err
	}
	app, err := Heddle(ctx, dir, program, 1, "--locator", locator, "--storage", storage)
	if err != nil {
		return nil, err
	}
	addr, err := FreeAddr()
	if err != nil {
		app.Stop()
		return nil, err
	}
	s, err := Start(ctx, "heddle proxy", "http://"+addr+"/"+app.App+"/http/", filepath.Join(dir, "heddle"), "proxy", "--listen", addr, "--locator", locator)
	if err != nil {
		app.Stop()
		return nil, err
	}
	s.Before(app)
	return s, nil
}

// StayedOnLoop is an error if heddle has handed a connection over to net/http
// since it started: simple HTTP/1.1 is served on its loops.
func (s *Stack) StayedOnLoop(ctx context.Context) error {
	if s.control == "" {
		return nil // not a heddle
	}
	out, err := exec.CommandContext(ctx, s.cmd.Path, "status", "--json", "--control", s.control).Output()
	if err != nil {
		return fmt.Errorf("heddle status: %w", err)
	}
	return stayed(out)
}

func stayed(status []byte) error {
	var reply struct {
		Front *struct {
			HandedOver map[string]int64 `json:"handed_over"`
		} `json:"front"`
	}
	if err := json.Unmarshal(status, &reply); err != nil {
		return fmt.Errorf("heddle status --json: %w", err)
	}
	if reply.Front == nil {
		return fmt.Errorf("heddle status --json has no front: %s", status)
	}
	for _, reason := range slices.Sorted(maps.Keys(reply.Front.HandedOver)) {
		if n := reply.Front.HandedOver[reason]; n > 0 {
			return fmt.Errorf("heddle handed %d connections over to net/http, for %q among others: %v", n, reason, reply.Front.HandedOver)
		}
	}
	return nil
}
