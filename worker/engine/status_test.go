package engine

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"strings"
	"testing"
	"time"
)

// Scripts rely on these names.
func TestStatusJSON(t *testing.T) {
	s := Status{Name: "shop", Release: "2", Workers: []WorkerStatus{{
		Index: 1, ID: "u", Pid: 7, State: "online", Since: time.Unix(0, 0).UTC(), Release: "2", Sessions: 3, Restarts: 4,
	}}}
	got, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"name":"shop","release":"2","suspended":false,"wanted":0,"standbys":0,"workers":[{"index":1,"id":"u","pid":7,"state":"online","since":"1970-01-01T00:00:00Z","release":"2","sessions":3,"sessions_total":0,"restarts":4}]}`
	if string(got) != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
}

// A death in the log has its fields, the lost sessions among them.
func TestDeathLog(t *testing.T) {
	var b bytes.Buffer
	slog.New(slog.NewJSONHandler(&b, nil)).Warn("x", "death", Death{
		Index: 1, ID: "u", Pid: 7, Release: "2", ExitCode: -1, Signal: "SIGKILL", Reason: "was killed by SIGKILL",
		Stderr: []string{"oh"}, Lost: []LostSession{{Loop: 1, ID: 12, Event: "http", RequestID: "r1"}}, Uptime: time.Second,
	})
	for _, want := range []string{`"index":1`, `"pid":7`, `"exit":-1`, `"signal":"SIGKILL"`, `"reason":"was killed by SIGKILL"`, `"lost":1`, `"ID":12`, `"Event":"http"`, `"RequestID":"r1"`, `"stderr":["oh"]`, `"uptime":1000000000`} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("log has no %s: %s", want, &b)
		}
	}
}

// In text the lost sessions are to be read, too.
func TestDeathText(t *testing.T) {
	var b bytes.Buffer
	slog.New(slog.NewTextHandler(&b, nil)).Warn("x", "death", Death{Lost: []LostSession{{Loop: 1, ID: 12, Event: "http", RequestID: "r1"}, {ID: 3, Event: "http", RequestID: "r2", Untouched: true}}})
	if want := `death.sessions="[(http request=r1 session=12 loop=1) (http request=r2 session=3 loop=0 untouched)]"`; !strings.Contains(b.String(), want) {
		t.Errorf("log has no %s: %s", want, &b)
	}
}

func TestStuck(t *testing.T) {
	d := Death{Dump: []string{"SIGQUIT: quit", "", "goroutine 1 gp=0x1 [sleep]:", "main.main()", "\t/a.go:3", "", "goroutine 2 [running]:"}}
	if got := strings.Join(d.Stuck(), "|"); got != "goroutine 1 gp=0x1 [sleep]:|main.main()|\t/a.go:3" {
		t.Errorf("got %q", got)
	}
	for _, dump := range [][]string{nil, {"SIGQUIT"}} {
		if got := (Death{Dump: dump}).Stuck(); got != nil {
			t.Errorf("got %q of %q", got, dump)
		}
	}
}
