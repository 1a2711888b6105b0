package logs

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/heddle-go/heddle/httpcompat/front"
	"github.com/heddle-go/heddle/worker/engine"
)

func TestAccessFormats(t *testing.T) {
	at := time.Date(2026, 11, 21, 8, 0, 0, 123456000, time.Local)
	zone := at.Format("-0700")
	for _, tt := range []struct {
		r    front.Access
		want string
	}{
		{front.Access{Begun: at, Duration: 1500 * time.Microsecond, Remote: "192.0.2.1:4711", Method: "GET", URI: "/a?b=c", Proto: "HTTP/1.1", Status: 200, Bytes: 14, ID: "id1"},
			`192.0.2.1 - - [21/Nov/2026:08:00:00 ZONE] "GET /a?b=c HTTP/1.1" 200 14 1500 id1`},
		{front.Access{Begun: at, Remote: "[2001:db8::1]:80", Method: "POST", URI: `/"\` + "\xff\n", Proto: "HTTP/2.0", Status: 499, ID: "id2"},
			`2001:db8::1 - - [21/Nov/2026:08:00:00 ZONE] "POST /\"\\\xff\x0a HTTP/2.0" 499 - 0 id2`},
		{front.Access{Begun: at, Remote: "@", Status: 400, Bytes: 15}, `- - - [21/Nov/2026:08:00:00 ZONE] "-" 400 15 0 -`},
		{front.Access{Begun: at, Remote: "", Method: "GET", URI: "/", Proto: "HTTP/1.1"}, `- - - [21/Nov/2026:08:00:00 ZONE] "GET / HTTP/1.1" - - 0 -`},
	} {
		s := stamp{layout: layoutCommon}
		if got, want := string(appendCommon(nil, &tt.r, &s)), strings.ReplaceAll(tt.want, "ZONE", zone)+"\n"; got != want {
			t.Errorf("got  %swant %s", got, want)
		}
		var got struct {
			Time                                time.Time
			Remote, Method, URI, Proto, Request string
			Status, Bytes                       int64
			Duration                            float64
		}
		if err := json.Unmarshal(appendAccessJSON(nil, &tt.r), &got); err != nil {
			t.Fatal(err)
		}
		if !got.Time.Equal(at) || got.Remote != tt.r.Remote || got.Method != tt.r.Method || got.URI != strings.ToValidUTF8(tt.r.URI, "\ufffd") || got.Proto != tt.r.Proto ||
			got.Request != tt.r.ID || got.Status != int64(tt.r.Status) || got.Bytes != tt.r.Bytes || got.Duration != tt.r.Duration.Seconds() {
			t.Errorf("got %+v, want %+v", got, tt.r)
		}
	}
}

// Logging a request allocates nothing, once the buffers are there.
func TestAccessAllocatesNothing(t *testing.T) {
	for _, asJSON := range []bool{false, true} {
		a := NewAccess(AccessOptions{File: FileOptions{Path: filepath.Join(t.TempDir(), "access")}, JSON: asJSON})
		r := &front.Access{Begun: time.Now(), Duration: time.Millisecond, Remote: "192.0.2.1:4711", Method: "GET", URI: "/ä\xff", Proto: "HTTP/1.1", Status: 200, Bytes: 14, ID: "id1"}
		log := func() {
			for range 100 {
				a.Log(r)
			}
		}
		for range 50 {
			log()
			time.Sleep(time.Millisecond)
		}
		if n := testing.AllocsPerRun(100, log); n > 1 { // the writing goroutine's buffer may grow
			t.Errorf("json %v: %v allocations for 100 requests", asJSON, n)
		}
		a.Close()
	}
}

func BenchmarkAdd(b *testing.B) {
	for _, n := range []int{40, 200} {
		for _, files := range []bool{false, true} {
			b.Run(fmt.Sprintf("%d/file=%v", n, files), func(b *testing.B) {
				var o Options
				if files {
					o.Stdout.Path = filepath.Join(b.TempDir(), "log")
					o.Stdout.MaxSize = 64 << 20
					o.Stdout.Keep = 1
				}
				w := New(o)
				l := engine.Line{Index: 3, ID: "id", Release: "r1", Pid: 4711, Stream: engine.Stdout, Text: strings.Repeat("x", n)}
				b.ReportAllocs()
				for b.Loop() {
					w.Add(l)
				}
				w.Close()
				b.ReportMetric(float64(w.Stats().Ring.Next), "lines")
				if files {
					b.ReportMetric(float64(w.Stats().Files[0].Dropped)/float64(b.N), "dropped/op")
				}
			})
		}
	}
}

func BenchmarkAccess(b *testing.B) {
	for _, asJSON := range []bool{false, true} {
		b.Run(fmt.Sprintf("json=%v", asJSON), func(b *testing.B) {
			a := NewAccess(AccessOptions{File: FileOptions{Path: filepath.Join(b.TempDir(), "access"), MaxSize: 64 << 20, Keep: 1}, JSON: asJSON, Waiting: 64 << 20})
			r := &front.Access{Begun: time.Now(), Duration: time.Millisecond, Remote: "192.0.2.1:4711", Method: "GET", URI: "/a/path?and=query", Proto: "HTTP/1.1", Status: 200, Bytes: 14, ID: "0123456789abcdef0123456789abcdef"}
			b.ReportAllocs()
			for b.Loop() {
				a.Log(r)
			}
			a.Close()
			b.ReportMetric(float64(a.Stats().Dropped)/float64(b.N), "dropped/op")
		})
	}
}
