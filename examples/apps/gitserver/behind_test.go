package main

import (
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/heddle-go/heddle/examples/apps/internal/behind"
)

func TestMain(m *testing.M) { os.Exit(behind.Main(m)) }

// A repository of several megabytes is pushed and cloned, in one request and in
// chunks, and is the same in every place.
func TestBehind(t *testing.T) {
	git := behind.Need(t, "git", "git")
	for k, v := range map[string]string{
		"GIT_CONFIG_GLOBAL": os.DevNull, "GIT_CONFIG_NOSYSTEM": "1", "GIT_TERMINAL_PROMPT": "0",
		"GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@example.org", "GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@example.org",
	} {
		t.Setenv(k, v)
	}
	root, work := t.TempDir(), t.TempDir()
	behind.Output(t, root, git, "init", "-q", "--bare", "-b", "main", "repo.git")
	behind.Output(t, work, git, "init", "-q", "-b", "main")
	for commit := range 5 {
		for file := range 4 {
			p := make([]byte, 400<<10)
			rand.Read(p[:300<<10])
			if err := os.WriteFile(filepath.Join(work, fmt.Sprintf("%d-%d", commit, file)), p, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		behind.Output(t, work, git, "add", ".")
		behind.Output(t, work, git, "commit", "-q", "-m", fmt.Sprint("commit ", commit))
	}
	url := behind.Heddle(t, "gitserver", []string{"--workers", "2"}, "-root", root) + "/repo.git"

	// Below http.postBuffer the pack has a Content-Length, above it is chunked.
	behind.Output(t, work, git, "-c", "http.postBuffer=64000000", "push", "-q", url, "HEAD~2:refs/heads/main")
	behind.Output(t, work, git, "-c", "http.postBuffer=65536", "push", "-q", url, "main")

	tree := func(dir string) string {
		behind.Output(t, dir, git, "fsck", "--full", "--strict")
		return behind.Output(t, dir, git, "rev-list", "--objects", "--no-object-names", "main")
	}
	want := tree(work)
	if got := tree(filepath.Join(root, "repo.git")); got != want {
		t.Errorf("the pushed repository has other objects")
	}
	clone := filepath.Join(t.TempDir(), "clone")
	behind.Output(t, "", git, "clone", "-q", url, clone)
	if got := tree(clone); got != want {
		t.Errorf("the clone has other objects")
	}
	if out := behind.Output(t, "", "diff", "-r", "--exclude=.git", work, clone); out != "" {
		t.Errorf("the clone's files differ: %s", out)
	}
}
