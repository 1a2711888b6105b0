package main

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/heddle-go/heddle/bench/internal/daemon"
	"github.com/heddle-go/heddle/bench/internal/traffic"
)

// badStart is the --start-timeout, which the release that hangs runs into.
const badStart = 3 * time.Second

// bad deploys releases that cannot serve.
func bad(ctx context.Context, r *rig) error {
	if err := r.start(ctx, r.plan.workers, "", "--start-timeout", badStart.String()); err != nil {
		return err
	}
	if err := r.begin(ctx, traffic.Options{}); err != nil {
		return err
	}
	broken := filepath.Join(r.dir, "broken")
	if err := writeBroken(broken); err != nil {
		return err
	}
	for _, release := range []struct {
		how  string
		args []string
		code int
	}{
		{"exits at once", append([]string{r.programs["B"], "--"}, r.args("-fail", "exit")...), 3},
		{"panics", append([]string{r.programs["B"], "--"}, r.args("-fail", "panic")...), 3},
		{"hangs before it is online", append([]string{r.programs["B"], "--"}, r.args("-fail", "hang")...), 3},
		{"does not build", []string{broken}, 1},
	} {
		r.progress.say("a release that %s", release.how)
		before, err := r.d.Status(ctx)
		if err != nil {
			return err
		}
		r.t.Expect("A")
		res, err := r.d.Run(ctx, "deploy", release.args...)
		if err != nil {
			return err
		}
		after, err := r.d.Status(ctx)
		if err != nil {
			return err
		}
		r.report.figure("a release that "+release.how, "exit code %d after %v: %s", res.Code, milli(res.Took), firstLine(res.Stderr))
		if res.Code != release.code {
			r.report.broke("deploy of a release that %s: exit code %d, not %d: %s", release.how, res.Code, release.code, strings.TrimSpace(res.Stderr))
		}
		if !slices.Equal(sorted(before.Serving()), sorted(after.Serving())) || before.Release != after.Release {
			r.report.broke("a release that %s: the workers of %s were %v; now those of %s are %v", release.how, before.Release, before.Serving(), after.Release, after.Serving())
		}
	}
	if err := pause(ctx, 500*time.Millisecond); err != nil {
		return err
	}
	t, err := r.cease()
	if err != nil {
		return err
	}
	r.report.Broken = append(r.report.Broken, untouched(t.Total())...)
	if _, err := r.settled(ctx, r.plan.workers, 0); err != nil {
		r.report.broke("workers of bad releases stay: %v", err)
	}
	return nil
}

// writeBroken makes a module that no compiler takes.
func writeBroken(dir string) error {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "go.mod"), []byte("module broken\n\ngo 1.26\n"), 0o600); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "main.go"), []byte("package main\n\nfunc main() { thisIsNotThere() }\n"), 0o600)
}

func sorted(workers []daemon.Worker) []string {
	all := ids(workers)
	slices.Sort(all)
	return all
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(s), "\n")
	return line
}
