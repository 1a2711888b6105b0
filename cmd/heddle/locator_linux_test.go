package main

import (
	"net"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// A locator without apps has the pages of --admin, too.
func TestLocatorAdmin(t *testing.T) {
	dir := t.TempDir()
	p, err := start(exec.Command("heddle", "locator", "--listen", "127.0.0.1:0", "--storage", dir, "--admin", "127.0.0.1:0"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.kill)
	pages := p.await(t, `^admin (\S+)$`)[1]
	at := p.await(t, `^ready (\S+)$`)[1]
	if out, err := exec.Command("heddle", "call", "--locator", at, "locator", "publish", "till", `[["127.0.0.1",7000]]`).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, page := range []string{"/healthz", "/readyz"} {
		if code, body := fetch(t, pages+page); code != 200 || strings.TrimSpace(body) != `{"ok":true}` {
			t.Errorf("%s: got %d %s", page, code, body)
		}
	}
	var body string
	until(func() bool { // a publication ends when the locator hears that its connection has
		_, body = fetch(t, pages+"/metrics")
		return strings.Contains(body, "\nheddle_cloud_publications 0\n")
	})
	for _, want := range []string{
		`heddle_cloud_calls_total{dialect="v1",method="publish",service="locator"} 1`,
		`heddle_cloud_publications 0`, // it went with its connection
		`heddle_ready 1`,
	} {
		if !strings.Contains(body, "\n"+want+"\n") {
			t.Errorf("%s is not in %s", want, body)
		}
	}
	t.Run("promtool", func(t *testing.T) { checkMetrics(t, body) })
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	<-p.done
	if code := p.cmd.ProcessState.ExitCode(); code != exitOK {
		t.Errorf("exit code %d: %s", code, p.said.String())
	}
	if c, err := net.Dial("tcp", strings.TrimPrefix(pages, "http://")); err == nil {
		c.Close()
		t.Error("the pages are still there")
	}
}

// What cannot be meant, or had, is refused with what was at fault.
func TestLocatorRefuses(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	at := taken.Addr().String()
	for _, test := range []struct {
		args string
		code int
		want string
	}{
		{"--admin 0.0.0.0:0", exitUsage, "it is no loopback address"},
		{"--admin-anywhere", exitUsage, "--admin-anywhere needs --admin"},
		{"--listen 127.0.0.1:0 --admin " + at, exitError, "try: heddle locator --admin with another address"},
		{"--admin 127.0.0.1:0 --listen " + at, exitError, "try: heddle locator --listen with another address"},
		{"--listen 127.0.0.1:0 --storage /proc/none", exitError, "the storage cannot be there"},
	} {
		out, err := exec.Command("heddle", append([]string{"locator"}, strings.Fields(test.args)...)...).CombinedOutput()
		if code := exitOf(err); code != test.code || !strings.Contains(string(out), test.want) {
			t.Errorf("%s: exit code %d, %s; want %d, %q", test.args, code, out, test.code, test.want)
		}
	}
}
