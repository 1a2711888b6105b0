// Big sends a large body up and down through heddle and tells whether it came
// through byte for byte, and by how much the memory of the daemon and of each
// worker grew meanwhile: the highest resident set size after, less that before.
//
//	go run ./bench/big
//	go run ./bench/big -size 2GiB
//
// It fails when a hash differs or when a process grew by -limit or more. Large
// sizes want as much room in TMPDIR.
package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/heddle-go/heddle/bench/internal/stack"
)

func main() {
	size := amount(200e6)
	flag.Var(&size, "size", "bytes each way: a number of MB (10^6 bytes), or one with its unit, MB, GB, MiB or GiB")
	limit := flag.Int64("limit", 32, "MiB that each process must stay below in growing")
	workers := flag.Int("workers", 1, "heddle's workers")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, int64(size), *limit<<20, *workers); err != nil {
		fmt.Fprintln(os.Stderr, "bench/big:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, size, limit int64, workers int) error {
	if workers < 1 {
		return errors.New("at least one worker is needed")
	}
	dir, err := os.MkdirTemp("", "heddle-bench")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := stack.Build(ctx, dir, "./cmd/heddle", "./examples/upload", "./examples/files"); err != nil {
		return err
	}
	for _, w := range []struct {
		name string
		args []string
		move func(ctx context.Context, url string, size int64) (time.Duration, error)
	}{
		{"upload", []string{"upload"}, up},
		{"files", []string{"files", "--", "-dir", dir}, func(ctx context.Context, url string, size int64) (time.Duration, error) {
			return down(ctx, url, filepath.Join(dir, "big"), size)
		}},
	} {
		if err := measure(ctx, dir, w.name, w.args, size, limit, workers, w.move); err != nil {
			return fmt.Errorf("%s: %w", w.name, err)
		}
	}
	return nil
}

// measure runs one example behind heddle and moves size bytes through it.
func measure(ctx context.Context, dir, name string, args []string, size, limit int64, workers int, move func(context.Context, string, int64) (time.Duration, error)) error {
	addr, err := stack.FreeAddr()
	if err != nil {
		return err
	}
	args[0] = filepath.Join(dir, args[0])
	url := "http://" + addr + "/"
	s, err := stack.Start(ctx, name, url, filepath.Join(dir, "heddle"), append([]string{"run",
		"--name", "bench-big-" + name, "--workers", strconv.Itoa(workers), "--listen", addr, "--control", filepath.Join(dir, name+".sock")}, args...)...)
	if err != nil {
		return err
	}
	defer s.Stop()
	before, err := s.Memory()
	if err != nil {
		return err
	}
	took, err := move(ctx, url, size)
	if err != nil {
		return err
	}
	after, err := s.Memory()
	if err != nil {
		return err
	}
	fmt.Printf("%-7s %d bytes in %v (%.0f MB/s), equal\n", name, size, took.Round(time.Millisecond), float64(size)/1e6/took.Seconds())
	grew := []growth{{"daemon", before.Daemon, after.Daemon}}
	for _, pid := range slices.Sorted(maps.Keys(after.Each)) {
		was, ok := before.Each[pid]
		if !ok {
			return fmt.Errorf("process %d was not there before: a worker was started anew", pid)
		}
		grew = append(grew, growth{fmt.Sprintf("worker (pid %d)", pid), was, after.Each[pid]})
	}
	if len(grew) < 1+workers {
		return fmt.Errorf("%d workers at the end, not %d", len(grew)-1, workers)
	}
	for _, g := range grew {
		fmt.Printf("        %s: peak %.1f MiB before, grew by %.1f MiB\n", g.process, mib(g.before), mib(g.after-g.before))
	}
	for _, g := range grew {
		if g.after-g.before >= limit {
			return fmt.Errorf("the %s grew by %d bytes, not less than %d", g.process, g.after-g.before, limit)
		}
	}
	return nil
}

// A growth is the peak memory of one process before and after, in bytes.
type growth struct {
	process       string
	before, after int64
}

func mib(n int64) float64 { return float64(n) / (1 << 20) }

// random is size bytes that no compression shrinks, the same at every call.
func random(size int64) io.Reader {
	return io.LimitReader(rand.NewChaCha8([32]byte{1}), size)
}

func up(ctx context.Context, url string, size int64) (time.Duration, error) {
	sum := sha256.New()
	body := io.TeeReader(random(size), sum)
	req, err := http.NewRequestWithContext(ctx, "POST", url, body)
	if err != nil {
		return 0, err
	}
	req.ContentLength = size
	start := time.Now()
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	var receipt struct {
		Size   int64  `json:"size"`
		SHA256 string `json:"sha256"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&receipt); err != nil {
		return 0, err
	}
	if receipt.Size != size || receipt.SHA256 != hex.EncodeToString(sum.Sum(nil)) {
		return 0, fmt.Errorf("%d bytes arrived, or others", receipt.Size)
	}
	return time.Since(start), nil
}

// down fetches the whole file as one range, which must be answered with 206.
func down(ctx context.Context, url, path string, size int64) (time.Duration, error) {
	f, err := os.Create(path)
	if err != nil {
		return 0, err
	}
	want := sha256.New()
	if _, err := io.Copy(io.MultiWriter(f, want), random(size)); err != nil {
		return 0, errors.Join(err, f.Close())
	}
	if err := f.Close(); err != nil {
		return 0, err
	}
	req, err := http.NewRequestWithContext(ctx, "GET", url+filepath.Base(path), nil)
	if err != nil {
		return 0, err
	}
	req.Header.Set("Range", fmt.Sprintf("bytes=0-%d", size-1))
	start := time.Now()
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	got := sha256.New()
	n, err := io.Copy(got, resp.Body)
	if err != nil {
		return 0, err
	}
	if resp.StatusCode != http.StatusPartialContent || n != size || string(got.Sum(nil)) != string(want.Sum(nil)) {
		return 0, fmt.Errorf("status %d, %d bytes arrived, or others", resp.StatusCode, n)
	}
	return time.Since(start), nil
}
