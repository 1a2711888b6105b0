package nodepeer

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// ErrMissing reports that node or npm is not installed, or a package that cannot be had here.
var ErrMissing = errors.New("nodepeer: not on this machine")

// installLimit bounds one call of npm.
const installLimit = 2 * time.Minute

// Install makes sure of a package in its exact version, "node-ipc@9.2.1", and returns the node_modules directory
// that has it. It is safe to call in several processes at a time. ErrMissing: there is no npm, or it could not get
// the package.
func Install(ctx context.Context, pkg string) (modules string, err error) {
	if _, err := exec.LookPath("node"); err != nil {
		return "", fmt.Errorf("%w: %w", ErrMissing, err)
	}
	npm, err := exec.LookPath("npm")
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrMissing, err)
	}
	cache, err := cacheDir()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(cache, strings.NewReplacer("/", "+", "@", "-").Replace(pkg))
	modules = filepath.Join(dir, "node_modules")
	if _, err := os.Stat(modules); err == nil {
		return modules, nil
	}
	// Elsewhere first: a directory of that name is a whole one, whoever else installs or is interrupted.
	tmp, err := os.MkdirTemp(cache, "new-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(tmp)
	ctx, cancel := context.WithTimeout(ctx, installLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, npm, "install", "--ignore-scripts", "--no-audit", "--no-fund", "--no-save", "--prefix", tmp, pkg)
	cmd.Dir = tmp
	cmd.WaitDelay = time.Second
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w: npm install %s: %w\n%s", ErrMissing, pkg, err, out[max(0, len(out)-2000):])
	}
	if err := os.Rename(tmp, dir); err != nil {
		if _, gone := os.Stat(modules); gone != nil {
			return "", err
		}
	}
	return modules, nil
}

// cacheDir is made when it is not there. Users without a directory for caches have it below the temporary one,
// named by their id.
func cacheDir() (string, error) {
	if base, err := os.UserCacheDir(); err == nil {
		dir := filepath.Join(base, "heddle-test-npm")
		if os.MkdirAll(dir, 0o700) == nil {
			return dir, nil
		}
	}
	dir := filepath.Join(os.TempDir(), fmt.Sprintf("heddle-test-npm-%d", os.Getuid()))
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return "", err
	}
	// Somebody else may have been there first, and we run what is in it.
	if fi, err := os.Lstat(dir); err != nil || fi.Mode() != os.ModeDir|0o700 {
		return "", fmt.Errorf("nodepeer: %s is not a directory of this user alone", dir)
	}
	return dir, nil
}
