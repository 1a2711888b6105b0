package servicetest

import (
	"strings"
	"testing"

	"github.com/heddle-go/heddle"
)

// TestSlips sends each mistake to its service and wants it reported, and the
// connection closed or not as the real runtime does. A good call behind a
// forgiven one is answered.
func TestSlips(t *testing.T) {
	for _, c := range []struct {
		name    string
		d       heddle.Dialect
		service string
		frames  string
		what    string // in the slip; empty: none
		dropped bool
	}{
		{"v1 channel 0", Runtime012, "test", "\x93\x00\x00\x90", "channel 0", true},
		{"v1 used channel", Runtime012, "test", "\x93\x05\x01\x90\x93\x05\x01\x90", "channel 5", true},
		{"v1 lower channel", Runtime012, "test", "\x93\x05\x01\x90\x93\x04\x01\x90", "channel 4 is over", true},
		{"v1 unknown method", Runtime012, "test", "\x93\x01\x55\x90", "method 85", true},
		{"v1 method without code", Runtime012, "logging", "\x93\x01\x02\x91\x00", "does not have it", true},
		{"v1 settings", Runtime012, "test", "\x93\x01\xcd\xff\xfe\x91\x80", "method 65534", true},
		{"v1 wrong type", Runtime012, "storage", "\x93\x01\x00\x92\xa1a\x07", "argument 1 is integer", true},
		{"v1 nil for text", Runtime012, "storage", "\x93\x01\x00\x92\xa1a\xc0", "argument 1 is nil", true},
		{"v1 missing argument", Runtime012, "storage", "\x93\x01\x00\x91\xa1a", "too few", true},
		{"v1 further argument", Runtime012, "test", "\x93\x01\x01\x91\xa1a", "", false},
		{"v1 two elements", Runtime012, "test", "\x92\x01\x01", "2 elements", true},
		{"v1 map of arguments", Runtime012, "test", "\x93\x01\x01\x80", "arguments are map", true},
		{"v1 nil headers", Runtime012, "test", "\x94\x01\x01\x90\xc0", "headers are nil", true},
		{"v1 bad header index", Runtime012, "test", "\x94\x01\x01\x90\x91\x53", "header index 83", true},
		{"v1 header index 0", Runtime012, "test", "\x94\x01\x01\x90\x91\x00", "header index 0", true},
		{"v1 header of two", Runtime012, "test", "\x94\x01\x01\x90\x91\x92\xc2\xa1n", "entry 0", true},
		{"v1 header without flag", Runtime012, "test", "\x94\x01\x01\x90\x91\x93\x00\xa1n\xa1v", "where a bool", true},
		{"v1 header of nil", Runtime012, "test", "\x94\x01\x01\x90\x91\x93\xc2\xa1n\xc0", "nil as its value", true},
		{"v1 header without name", Runtime012, "test", "\x94\x01\x01\x90\x91\x93\xc2\xc0\xa1v", "nil as its name", true},
		{"v1 short trace", Runtime012, "test", "\x94\x01\x01\x90\x93\x50\x51\x93\xc2\x52\xa1v", "parent_id has 1 bytes", true},
		{"v1 two of a trace", Runtime012, "test", "\x94\x01\x01\x90\x92\x50\x93\xc2\x52\xa1v", "", false},
		{"v1 bad trace bit", Runtime012, "test", "\x94\x01\x01\x90\x94\x50\x51\x52\x93\xc2\xa9trace_bit\xa4true", "trace_bit", true},
		{"v1 trace bit", Runtime012, "test", "\x94\x01\x01\x90\x94\x50\x51\x52\x93\xc2\xa9trace_bit\xa11", "", false},
		{"v1 negative channel", Runtime012, "test", "\x93\xff\x01\x90", "channel is negative", true},
		{"v1 no frame", Runtime012, "test", "\xa1a", "not raw", true},
		{"v1 no msgpack", Runtime012, "test", "\xc1", "0xc1", true},
		{"v1 attributes in a map", Runtime012, "logging", "\x93\x01\x00\x94\x01\xa1s\xa1m\x81\xa1k\xa1v", "argument 3 is map", true},
		{"v1 attribute of nil", Runtime012, "logging", "\x93\x01\x00\x94\x01\xa1s\xa1m\x91\x92\xa1k\xc0", "argument 3", true},
		{"v1 attributes", Runtime012, "logging", "\x93\x01\x00\x94\x01\xa1s\xa1m\x91\x92\xa1k\x01\x93\x02\x01\x90", "", false},
		{"v1 write after close", Runtime012, "test", "\x93\x01\x08\x90\x93\x01\x02\x90\x93\x01\x00\x91\xa1x", "channel 1", true},
		{"v1 two closes", Runtime012, "test", "\x93\x01\x08\x90\x93\x01\x02\x90\x93\x01\x02\x90", "channel 1", true},
		{"v1 error and close", Runtime012, "test", "\x93\x01\x07\x90\x93\x01\x01\x91\x92\x2a\x01\x93\x01\x02\x90", "channel 1", true},
		{"v1 error of v0", Runtime012, "test", "\x93\x01\x07\x90\x93\x01\x01\x92\x05\xa1x", "argument 0 is integer", true},
		{"v1 message that is not next", Runtime012, "test", "\x93\x01\x09\x90\x93\x01\x02\x90", "message 2", true},
		{"v1 something after a call", Runtime012, "test", "\x93\x01\x04\x90\x93\x01\x00\x90", "nothing more to say", true},
		{"v1 str8", Runtime012, "test", "\x93\x01\x00\x91\xd9\x01x", "0xd9", false},
		{"v1 bin8", Runtime012, "test", "\x93\x01\x00\x91\xc4\x01x", "0xc4", false},
		{"v1 long channel", Runtime012, "test", "\x93\xcc\x01\x01\x90", "shortest", false},
		{"v1 array16", Runtime012, "test", "\xdc\x00\x03\x01\x01\x90", "fixarray", false},
		{"v1 five elements", Runtime012, "test", "\x95\x01\x01\x90\x90\xc0", "5 elements", false},
		{"v1 first channel 100", Runtime012, "test", "\x93\x64\x01\x90", "", false},

		{"v0 four elements", Runtime011, "test", "\x94\x01\x01\x90\x90", "4 elements", true},
		{"v0 two elements", Runtime011, "test", "\x92\x01\x01", "2 elements", true},
		{"v0 negative session", Runtime011, "test", "\x93\x01\xff\x90", "session is negative", true},
		{"v0 negative method", Runtime011, "test", "\x93\xff\x01\x90", "type is negative", true},
		{"v0 map of arguments", Runtime011, "test", "\x93\x01\x01\x80", "arguments are map", true},
		{"v0 long method", Runtime011, "test", "\x93\xcc\x01\x01\x90", "type is not in shortest", false},
		{"v0 long session", Runtime011, "test", "\x93\x01\xcd\x00\x01\x90", "session is not in shortest", false},
		{"v0 str8", Runtime011, "test", "\x93\x00\x01\x91\xd9\x01x", "0xd9", false},
		{"v0 array16", Runtime011, "test", "\xdc\x00\x03\x01\x01\x90", "fixarray", false},
		{"v0 session in use", Runtime011, "test", "\x93\x04\x07\x90\x93\x01\x07\x90", "session 7 is in use", false},
		{"v0 unknown method", Runtime011, "test", "\x93\x4d\x07\x90", "", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, pieces := range []bool{false, true} {
				slips := new(slipList)
				cloud := New(t, c.d, Options{OnSlip: slips.add})
				cloud.Sample("test")
				p := dial(t, cloud.Service(c.service).Endpoint())
				for i := 0; i < len(c.frames) && pieces; i++ {
					if _, err := p.nc.Write([]byte{c.frames[i]}); err != nil {
						break // it was closed before the last of them
					}
				}
				if !pieces {
					p.send([]byte(c.frames)...)
				}
				if c.dropped {
					for {
						if _, _, err := p.next(); err != nil {
							break
						}
					}
				} else {
					p.reach(c.d)
				}
				got := slips.all()
				if c.what == "" && len(got) > 0 || c.what != "" && (len(got) != 1 || !strings.Contains(got[0].What, c.what) || got[0].Dropped != c.dropped) {
					t.Errorf("slips %v, want %q, dropped %v", got, c.what, c.dropped)
				}
				cloud.Close()
			}
		})
	}
}

// reach makes a call that works, of any service, and reads until its answer.
func (p *peer) reach(d heddle.Dialect) {
	p.t.Helper()
	if d == heddle.V0 {
		p.call(1, 99)
		for {
			f, b, err := p.next()
			if err != nil {
				p.t.Fatalf("got %v (%x), want an answer", err, b)
			}
			if f.list[0].u == heddle.TypeV0Choke && f.list[1].u == 99 {
				return
			}
		}
	}
	p.call(1000, ping)
	for {
		f, b, err := p.next()
		if err != nil {
			p.t.Fatalf("got %v (%x), want an answer", err, b)
		}
		if f.list[0].u == 1000 {
			return
		}
	}
}

// TestSlipFails runs a slip with a test of its own to fail.
func TestSlipFails(t *testing.T) {
	spy := &spyTB{TB: t}
	cloud := New(spy, Runtime012, Options{})
	p := dial(t, cloud.Endpoint())
	p.call(0, 0, "storage")
	p.wantEnd()
	cloud.Close()
	if len(spy.errors) != 1 || !strings.Contains(spy.errors[0], "channel 0") {
		t.Errorf("the test was told %q", spy.errors)
	}
	if slips := cloud.Slips(); len(slips) != 1 || !slips[0].Dropped {
		t.Errorf("slips %v", slips)
	}
}
