package systemd

import (
	"encoding/json"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// takeIn has a child Take in an environment with files as descriptors from 3
// on; $$ is its process id.
func takeIn(t *testing.T, env string, files ...*os.File) (got taken) {
	t.Helper()
	cmd := exec.Command("sh", "-c", "TAKE=1 GORACE=atexit_sleep_ms=0 "+env+` exec "$0"`, os.Args[0])
	cmd.ExtraFiles = files
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v", env, err)
	}
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatalf("%s: %v: %s", env, err, out)
	}
	return got
}

func TestTake(t *testing.T) {
	file := func(f interface{ File() (*os.File, error) }) *os.File {
		file, err := f.File()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { file.Close() })
		return file
	}
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer tcp.Close()
	path, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	defer path.Close()
	udp, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer udp.Close()
	conn, err := net.Dial("tcp", tcp.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	a, b := file(tcp.(*net.TCPListener)), file(path.(*net.UnixListener))
	for _, tt := range []struct {
		env   string
		files []*os.File
		want  taken
		err   string // what Err contains; Err itself is not compared
	}{
		{env: ""},
		{env: "NOTIFY_SOCKET=/run/notify WATCHDOG_USEC=30000000", want: taken{Listens: true, Watchdog: int64(30 * time.Second)}},
		{env: "NOTIFY_SOCKET=@abstract WATCHDOG_USEC=1 WATCHDOG_PID=$$", want: taken{Listens: true, Watchdog: 1000}},
		{env: "WATCHDOG_USEC=1000 WATCHDOG_PID=1"},
		{env: "WATCHDOG_USEC=1000 WATCHDOG_PID=one", err: `WATCHDOG_PID "one" is no process id`},
		{env: "WATCHDOG_USEC=soon", err: `WATCHDOG_USEC "soon" is no number`},
		{env: "WATCHDOG_USEC=0", err: `WATCHDOG_USEC "0" is no number`},
		{env: "WATCHDOG_USEC=9223372036854775807", err: "is no number"},
		{env: "NOTIFY_SOCKET=vsock:2:1234 WATCHDOG_USEC=1", want: taken{Watchdog: 1000}, err: "neither a path nor an abstract name"},
		{env: "LISTEN_FDS=2 LISTEN_PID=$$ LISTEN_FDNAMES=http:admin LISTEN_PIDFDID=7", files: []*os.File{a, b}, want: taken{Names: []string{"http", "admin"}, FDs: []int{3, 4}}},
		{env: "LISTEN_FDS=2 LISTEN_PID=$$ LISTEN_FDNAMES=http", files: []*os.File{a, b}, want: taken{Names: []string{"http", "unknown"}, FDs: []int{3, 4}}},
		{env: "LISTEN_FDS=1 LISTEN_PID=$$ LISTEN_FDNAMES=a:b", files: []*os.File{a}, want: taken{Names: []string{"a"}, FDs: []int{3}}, err: "2 names for 1 descriptors"},
		{env: "LISTEN_FDS=1 LISTEN_PID=1", files: []*os.File{a}},
		{env: "LISTEN_FDS=1", files: []*os.File{a}},
		{env: "LISTEN_FDS=1 LISTEN_PID=-3", files: []*os.File{a}, err: `LISTEN_PID "-3" is no process id`},
		{env: "LISTEN_FDS=many LISTEN_PID=$$", files: []*os.File{a}, err: `LISTEN_FDS "many" is no number`},
		{env: "LISTEN_FDS=-1 LISTEN_PID=$$", files: []*os.File{a}, err: "is no number from 0 to 256"},
		{env: "LISTEN_FDS=2000000000 LISTEN_PID=$$", files: []*os.File{a}, err: "is no number from 0 to 256"},
		{env: "LISTEN_FDS=5 LISTEN_PID=$$ LISTEN_FDNAMES=u:c:n:ok:none", files: []*os.File{file(udp.(*net.UDPConn)), file(conn.(*net.TCPConn)), null, a}, want: taken{Names: []string{"ok"}, FDs: []int{6}}, err: "descriptor 3, u, is no stream socket"},
		{env: "LISTEN_FDS=1 LISTEN_PID=$$ LISTEN_FDNAMES=c", files: []*os.File{file(conn.(*net.TCPConn))}, err: "descriptor 3, c, does not listen; want Accept=no"},
		{env: "LISTEN_FDS=1 LISTEN_PID=$$", files: []*os.File{null}, err: "descriptor 3, unknown, is no socket; want ListenStream="},
	} {
		got := takeIn(t, tt.env, tt.files...)
		if tt.err == "" && got.Err != "" || !strings.Contains(got.Err, tt.err) {
			t.Errorf("%s: error %q, want %q", tt.env, got.Err, tt.err)
		}
		got.Err = ""
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s: -want +got\n%s", tt.env, diff)
		}
	}
}

func TestPick(t *testing.T) {
	all := []*Socket{{Name: "http", FD: 3}, {Name: "http", FD: 4}, {Name: "3", FD: 5}, {Name: "unknown", FD: 6}}
	for which, want := range map[string][]*Socket{"http": all[:2], "3": all[2:3], "4": all[1:2], "6": all[3:], "0": nil, "htt": nil, "": nil} {
		if diff := cmp.Diff(want, Pick(all, which), cmp.Comparer(func(a, b *Socket) bool { return a == b })); diff != "" {
			t.Errorf("%q: -want +got\n%s", which, diff)
		}
	}
}
