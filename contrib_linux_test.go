package heddle_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestUnits holds contrib/systemd to systemd's own judgement.
func TestUnits(t *testing.T) {
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("no systemd-analyze here (Debian: systemd)")
	}
	dir := t.TempDir()
	var units []string
	for _, name := range []string{"heddle-shop.service", "heddle-shop.socket"} {
		b, err := os.ReadFile(filepath.Join("contrib", "systemd", name))
		if err != nil {
			t.Fatal(err)
		}
		// verify wants programs that are there.
		unit := strings.ReplaceAll(string(b), "/usr/local/bin/", "/bin/true /usr/local/bin/")
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(unit), 0o600); err != nil {
			t.Fatal(err)
		}
		units = append(units, path)
	}
	verify := func() (string, error) {
		out, err := exec.Command(analyze, append([]string{"verify", "--man=no", "--recursive-errors=no"}, units...)...).CombinedOutput()
		return string(out), err
	}
	if out, err := verify(); err != nil || out != "" {
		t.Errorf("%v:\n%s", err, out)
	}
	// It would say something of a unit that is wrong.
	f, err := os.OpenFile(units[0], os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString("[Service]\nWatchdogSek=1\n"); err != nil {
		t.Fatal(err)
	}
	if out, _ := verify(); !strings.Contains(out, "WatchdogSek") {
		t.Errorf("of an unknown key it said %q", out)
	}
}

// TestUnitCommand: the command line that the unit has is one that heddle takes.
func TestUnitCommand(t *testing.T) {
	b, err := os.ReadFile("contrib/systemd/heddle-shop.service")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		command, ok := strings.CutPrefix(strings.TrimSpace(line), "ExecStart=/usr/local/bin/heddle ")
		if !ok {
			continue
		}
		args := append([]string{"run", "./cmd/heddle"}, strings.Fields(command)...)
		out, err := exec.Command("go", args...).CombinedOutput()
		if err == nil || !strings.Contains(string(out), "/usr/local/bin/shop does not exist") {
			t.Errorf("%s: %v: %s", command, err, out)
		}
		return
	}
	t.Error("the unit has no ExecStart")
}

// TestNginx holds contrib/nginx.conf to nginx' own judgement.
func TestNginx(t *testing.T) {
	nginx, err := exec.LookPath("nginx")
	if err != nil {
		t.Skip("no nginx here (Debian: nginx-light)")
	}
	b, err := os.ReadFile("contrib/nginx.conf")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(b), "max_fails=0") {
		t.Error("max_fails=0 is missing")
	}
	dir := t.TempDir()
	conf := "pid " + dir + "/pid;\nerror_log stderr;\nevents {}\nhttp {\naccess_log off;\n" + strings.ReplaceAll(string(b), "listen 80;", "listen unix:"+dir+"/s;") + "}\n"
	path := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(path, []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(nginx, "-t", "-q", "-p", dir, "-e", "stderr", "-c", path).CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}
