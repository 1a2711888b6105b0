package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strings"
	"testing"
	"time"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/codec/value"
	"github.com/heddle-go/heddle/session/ipc"
)

// endlessX counts what is read of it.
type endlessX struct{ n int }

func (e *endlessX) Read(p []byte) (int, error) {
	e.n += len(p)
	return copy(p, bytes.Repeat([]byte{'x'}, len(p))), nil
}

// What a message carries is an object or nothing, and standard input is not read
// without end.
func TestMessagePayload(t *testing.T) {
	endless := &endlessX{}
	for _, row := range []struct {
		args  []string
		stdin io.Reader
		want  string // the failure's text; "" none
	}{
		{args: []string{"m"}},
		{args: []string{"m", "{}"}},
		{args: []string{"m", " {\"a\":null}\n"}},
		{args: []string{"m", "-"}, stdin: strings.NewReader("{\n}\n")},
		{args: []string{"m", "-"}, stdin: strings.NewReader(""), want: "is not JSON"},
		{args: []string{"m", "-"}, stdin: strings.NewReader("{}{}"), want: "is not JSON"},
		{args: []string{"m", "-"}, stdin: endless, want: "more than"},
		{args: []string{"m", `{"a":"` + strings.Repeat("x", maxPayload) + `"}`}, want: "more than"},
		{args: []string{"m", `"{}"`}, want: "no object"},
		{args: []string{"m", "{"}, want: "is not JSON"},
		{args: []string{strings.Repeat("m", 256)}, want: "MESSAGE"},
		{args: nil, want: "MESSAGE"},
	} {
		m := talking{verb: verbSendMsg, ns: ipc.DefaultNamespace}
		err := m.read(row.args, row.stdin)
		var f *failure
		switch {
		case row.want == "" && err != nil, row.want != "" && (!errors.As(err, &f) || f.code != exitUsage || !strings.Contains(err.Error(), row.want)):
			t.Errorf("%.80q: got %v, want %q", row.args, err, row.want)
		}
	}
	if endless.n > 2*maxPayload {
		t.Errorf("%d bytes of standard input were read", endless.n)
	}
	for _, m := range []talking{{ns: ""}, {ns: "heddle"}, {ns: "a\x00b"}, {ns: "_", selector: "2-1"}, {ns: "_", selector: strings.Repeat("1,", 3000) + "1"}} {
		var f *failure
		if err := m.read([]string{"m"}, nil); !errors.As(err, &f) || f.code != exitUsage {
			t.Errorf("%.80q of %q: got %v", m.selector, m.ns, err)
		}
	}
}

// Whatever a reply is, it is one line.
func TestReplyLines(t *testing.T) {
	packed := func(v any) []byte {
		p, err := value.Append(nil, v)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	who := ipc.Member{Kind: ipc.KindWorker, Index: 2, ID: "05c064c5-1111-2222-3333-444444444444", Pid: 7, Release: "r1"}
	for _, row := range []struct {
		reply      ipc.Reply
		text, json string
	}{
		{ipc.Reply{}, "", ""},
		{ipc.Reply{Format: ipc.FormatJSON, Payload: []byte(" [1,\n\t{}] ")}, " [1,{}]", `,"data":[1,{}]`},
		{ipc.Reply{Format: ipc.FormatJSON, Payload: []byte("null")}, " null", `,"data":null`},
		{ipc.Reply{Format: ipc.FormatJSON, Payload: []byte(`"<a>"`)}, ` "<a>"`, `,"data":"<a>"`},
		{ipc.Reply{Format: ipc.FormatBytes, Payload: []byte("a\x1b[2Jb\n")}, ` "a\u001b[2Jb\n"`, `,"data":"a\u001b[2Jb\n"`},
		{ipc.Reply{Format: ipc.FormatJSON, Payload: []byte("\"é\u009b2J\u202e\U000e0001\"")}, ` "é\u009b2J\u202e\udb40\udc01"`, ",\"data\":\"é\u009b2J\u202e\U000e0001\""},
		{ipc.Reply{Format: ipc.FormatBytes, Payload: []byte{}}, ` ""`, `,"data":""`},
		{ipc.Reply{Format: ipc.FormatBytes, Payload: []byte{0xff}}, " base64:/w==", `,"base64":"/w=="`},
	} {
		s := saidBy(&who)
		if err := s.put(&row.reply); err != nil {
			t.Errorf("%+v: %v", row.reply, err)
			continue
		}
		var text, line bytes.Buffer
		if err := errors.Join(s.print(&text, nil, false), s.print(&line, nil, true)); err != nil {
			t.Error(err)
		}
		if want := "[2 05c064c5 7]" + row.text + "\n"; text.String() != want {
			t.Errorf("%+v: got %q, want %q", row.reply, &text, want)
		}
		if want := `{"index":2,"id":"05c064c5-1111-2222-3333-444444444444","pid":7,"release":"r1"` + row.json + "}\n"; line.String() != want {
			t.Errorf("%+v: got %s, want %s", row.reply, &line, want)
		}
	}
	s := saidBy(&who)
	if err := s.put(&ipc.Reply{Format: ipc.FormatJSON, Payload: []byte("{")}); err == nil {
		t.Error("half an object is taken for JSON")
	}
	for _, row := range []struct {
		v    any
		want string
	}{
		{nil, "null"}, {uint64(math.MaxUint64), "18446744073709551615"}, {math.NaN(), `"NaN"`}, {math.Inf(-1), `"-Inf"`}, {float32(0.5), "0.5"},
		{[]any{[]byte("hi"), "<"}, `["aGk=","<"]`}, {map[any]any{1: map[string]any{"x": nil}, true: 2}, `{"1":{"x":null},"true":2}`},
		{time.Unix(0, 5).UTC(), `"1970-01-01T00:00:00.000000005Z"`}, {value.Ext{Type: 5, Data: []byte{1}}, `{"base64":"AQ==","type":5}`},
	} {
		var v any
		if _, err := value.Decode(packed(row.v), &v, value.Limits{}); err != nil {
			t.Fatal(err)
		}
		if got := string(marshal(jsonOf(v))); got != row.want {
			t.Errorf("%v: got %s, want %s", row.v, got, row.want)
		}
	}
}

// Why a worker failed is said in one line that moves no cursor.
func TestFailureLines(t *testing.T) {
	for _, row := range []struct {
		err  error
		want string
		late bool
	}{
		{&ipc.RemoteError{Category: heddle.CategoryUser, Code: 1, Msg: "no\nluck\x1b[2J"}, "no luck [2J", false},
		{&ipc.RemoteError{Category: heddle.CategoryFramework, Code: 202, Msg: "ipc: topic …: no answer in time"}, "no answer in time", true},
		{&ipc.RemoteError{Category: heddle.CategoryFramework, Code: 203, Msg: `ipc: the peer died before it answered: topic "a" to peer b, namespace "_": channel lost`}, "gone before it had answered: channel lost", false},
		{&ipc.RemoteError{Category: heddle.CategoryFramework, Code: 203, Msg: "ipc: the peer died"}, "gone before it had answered: ipc: the peer died", false},
		{fmt.Errorf("waits: %w", os.ErrDeadlineExceeded), "no answer in time", true},
	} {
		s := said{Index: -1, ID: "05c064c5", Pid: 7}
		s.failed(row.err)
		var talk bytes.Buffer
		if err := s.print(nil, &talk, false); err != nil {
			t.Fatal(err)
		}
		if want := "[- 05c064c5 7] failed: " + row.want + "\n"; talk.String() != want || s.Error.Timeout != row.late {
			t.Errorf("%v: got %q, late %v; want %q", row.err, &talk, s.Error.Timeout, want)
		}
	}
}
