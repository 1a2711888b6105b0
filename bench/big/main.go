// Big sends a large body up and down through heddle and tells whether it came
// through byte for byte, and by how much the memory of the daemon and of its
// workers grew meanwhile.
//
//	go run ./bench/big
//
// It fails when a hash differs or when the daemon grew by more than -limit.
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
	"math/rand/v2"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"time"

	"github.com/heddle-go/heddle/bench/internal/stack"
)

func main() {
	size := flag.Int64("size", 200, "megabytes (10^6 bytes) each way")
	limit := flag.Int64("limit", 32, "MiB that the daemon may grow by")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *size*1e6, *limit<<20); err != nil {
		fmt.Fprintln(os.Stderr, "bench/big:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, size, limit int64) error {
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
		if err := measure(ctx, dir, w.name, w.args, size, limit, w.move); err != nil {
			return fmt.Errorf("%s: %w", w.name, err)
		}
	}
	return nil
}

// measure runs one example behind heddle and moves size bytes through it.
func measure(ctx context.Context, dir, name string, args []string, size, limit int64, move func(context.Context, string, int64) (time.Duration, error)) error {
	addr, err := stack.FreeAddr()
	if err != nil {
		return err
	}
	args[0] = filepath.Join(dir, args[0])
	url := "http://" + addr + "/"
	s, err := stack.Start(ctx, name, url, filepath.Join(dir, "heddle"), append([]string{"run",
		"--name", "bench-big-" + name, "--workers", "1", "--listen", addr, "--control", filepath.Join(dir, name+".sock")}, args...)...)
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
	grew := after.Daemon - before.Daemon
	fmt.Printf("%-7s %d bytes in %v (%.0f MB/s), equal; daemon %.1f MiB, peak grew by %.1f MiB; workers' peak grew by %.1f MiB\n",
		name, size, took.Round(time.Millisecond), float64(size)/1e6/took.Seconds(),
		mib(before.Daemon), mib(grew), mib(after.Others-before.Others))
	if grew > limit {
		return fmt.Errorf("the daemon grew by %d bytes, more than %d", grew, limit)
	}
	return nil
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
