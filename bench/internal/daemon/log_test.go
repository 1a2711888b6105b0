package daemon

import (
	"context"
	"maps"
	"slices"
	"testing"
	"time"
)

func TestLog(t *testing.T) {
	l := newLog()
	for _, p := range []string{"a\nb", "", "c\n\nready http://", "127.0.0.1:1 x\nend"} {
		if n, err := l.Write([]byte(p)); n != len(p) || err != nil {
			t.Errorf("Write(%q): got %d, %v", p, n, err)
		}
	}
	want := []string{"a", "bc", "", "ready http://127.0.0.1:1 x"}
	if got := l.Lines(); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := l.Tail(1); !slices.Equal(got, want[3:]) {
		t.Errorf("Tail(1): got %q", got)
	}
	exited := make(chan struct{})
	if got, err := l.await(context.Background(), exited, "ready http://"); got != "127.0.0.1:1 x" || err != nil {
		t.Errorf("await: got %q, %v", got, err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	if got, err := l.await(ctx, exited, "steady"); err == nil {
		t.Errorf("await of what was not said: got %q, want an error", got)
	}
	close(exited)
	if got, err := l.await(context.Background(), exited, "steady"); err == nil {
		t.Errorf("await of who has left: got %q, want an error", got)
	}
}

func TestReadLost(t *testing.T) {
	lost := ReadLost([]string{
		`time=x level=WARN msg="engine: worker died" death.index=0 death.lost=3 death.sessions="[(http request=get.kept-1-7 session=4 loop=0) (http request=upload-1-9 session=6 loop=0) (http request=upload-1-10 session=8 loop=0 untouched)]" death.stderr=[]`,
		`time=x level=WARN msg="engine: worker died" death.index=1 death.lost=1 death.sessions="[(http request= session=4 loop=0)]" death.stderr=[]`,
		`time=x level=INFO msg="engine: worker left" worker=1 lost=0`,
		`time=x level=ERROR msg="front: answer broke off" request=download-1-3 method=GET uri="/download?n=1" session=8 head=true err="x"`,
		`time=x level=ERROR msg="httpcompat: answer broke off" request=upload-1-9 method=POST`,
		`time=x level=INFO msg="front: the client has gone" status=499 request=get.kept-1-8`,
		`0 r1 | request=not-1-1 session=1 loop=0)`,
	})
	got := slices.Sorted(maps.Keys(lost.Requests))
	if want := []string{"download-1-3", "get.kept-1-7", "upload-1-9"}; !slices.Equal(got, want) || lost.Deaths != 2 {
		t.Errorf("got %q and %d deaths, want %q and 2", got, lost.Deaths, want)
	}
}
