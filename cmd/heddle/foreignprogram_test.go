package main

import (
	"fmt"
	"net"
	"os"
	"slices"
	"strings"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/codec"
)

// foreignProgram is a worker as Cocaine's frameworks make them: it knows nothing of
// Heddle, and answers the event "web" with what it was asked and its first argument.
// Told to leave, it echoes that and exits with 1, as that of Python does. With -old
// it speaks v0, whatever it was told.
func foreignProgram() {
	line, err := os.ReadFile("/proc/self/cmdline") // package worker, which this binary links too, takes them out of os.Args
	if err != nil {
		panic(err)
	}
	args := strings.Split(strings.TrimSuffix(string(line), "\x00"), "\x00")[1:]
	value := func(name string) string {
		if i := slices.Index(args, name); i >= 0 && i+1 < len(args) {
			return args[i+1]
		}
		return ""
	}
	d := heddle.V0
	if value("--protocol") == "1" && args[0] != "-old" {
		d = heddle.V1
	}
	fmt.Println("foreign args", strings.Join(args, " "))
	conn, err := net.Dial("unix", value("--endpoint"))
	if err != nil {
		panic(err)
	}
	say := func(frame []byte) { _, _ = conn.Write(frame) }
	say(codec.AppendHandshake(nil, d, value("--uuid"), nil))
	say(codec.AppendHeartbeat(nil, d))
	dec := codec.NewDecoder(d, codec.Limits{})
	events := make(map[uint64]string)
	var buf []byte
	chunk := make([]byte, 64<<10)
	for {
		n, err := conn.Read(chunk)
		if err != nil {
			return
		}
		for buf = append(buf, chunk[:n]...); ; {
			f, k, err := dec.Next(buf)
			if err != nil {
				break // the rest is to come
			}
			if reply := foreignReply(d, &f, events, args[0]); reply != nil {
				say(reply)
			}
			buf = buf[k:]
		}
	}
}

// foreignReply is what the worker says to a frame.
func foreignReply(d heddle.Dialect, f *codec.Frame, events map[uint64]string, word string) []byte {
	event, open := events[f.Session]
	control := d == heddle.V1 && f.Session == heddle.ControlChannel
	switch {
	case control && f.Type == heddle.MsgTerminate, d == heddle.V0 && f.Type == heddle.TypeV0Terminate:
		fmt.Println("foreign is told to leave")
		os.Exit(1)
	case control, d == heddle.V0 && f.Type == heddle.TypeV0Heartbeat:
	case !open && (d == heddle.V1 || f.Type == heddle.TypeV0Invoke):
		var i heddle.Invoke
		if codec.DecodeArgs(&i, f.Args, 1) == nil {
			events[f.Session] = string(i.Event)
		}
	case d == heddle.V1 && f.Type == heddle.MsgWrite, f.Type == heddle.TypeV0Chunk:
		var c heddle.Chunk
		var h heddle.RequestHead
		if codec.DecodeArgs(&c, f.Args, 1) != nil || codec.DecodeRequestHead(&h, c.Data) != nil || event != "web" {
			return codec.AppendError(nil, d, f.Session, heddle.CategoryFramework, heddle.CodeNoHandler, "no such event")
		}
		body := fmt.Appendf(nil, "%v %s %s with %d bytes: %s\n", d, h.Method, h.URI, len(h.Body), word)
		if d == heddle.V0 {
			body = codec.AppendRaw(nil, body)
		}
		b := codec.AppendChunk(nil, d, f.Session, []byte("\x92\xcc\xc8\x91\x92\xa3X-A\xa1a"))
		return codec.AppendChoke(codec.AppendChunk(b, d, f.Session, body), d, f.Session)
	}
	return nil
}
