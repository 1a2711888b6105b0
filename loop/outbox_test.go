package loop

import (
	"bytes"
	"encoding/binary"
	"testing"

	"pgregory.net/rapid"
)

// Frames here are: lane byte, number uint32, length uint32, filler.
func testFrame(lane byte, number, filler int) []byte {
	b := append(make([]byte, 0, 9+filler), lane)
	b = binary.BigEndian.AppendUint32(b, uint32(number))
	b = binary.BigEndian.AppendUint32(b, uint32(filler))
	return append(b, bytes.Repeat([]byte{lane}, filler)...)
}

// TestOutboxKeepsFrames appends and writes at random, with short writes, appends
// between gather and advance, and files: what comes out are whole frames, each lane
// in order, nothing lost, and the counters are exact.
func TestOutboxKeepsFrames(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var o outbox
		var stream []byte
		var sent [2]int
		filesAt := map[int64]int{} // offset in the data lane: descriptor that has to leave there
		nextFile := 1000
		size := rapid.OneOf(rapid.IntRange(0, 50), rapid.IntRange(3000, 5000), rapid.IntRange(60000, 140000))
		appendFrame := func() {
			filler := size.Draw(t, "filler")
			var f []byte
			switch rapid.IntRange(0, 5).Draw(t, "lane") {
			case 0:
				f = testFrame('c', sent[1], filler)
				sent[1]++
				o.control.append(f, nil)
			case 1:
				f = testFrame('d', sent[0], filler)
				sent[0]++
				filesAt[o.end] = nextFile
				o.data.appendFiles(f, []int{nextFile})
				nextFile++
				o.end += int64(len(f))
			default:
				f = testFrame('d', sent[0], filler)
				sent[0]++
				cut := rapid.IntRange(0, len(f)).Draw(t, "cut")
				o.data.append(f[:cut], f[cut:])
				o.end += int64(len(f))
			}
			o.queued.Add(int64(len(f)))
		}
		write := func(all bool) {
			pieces, files := o.gather(make([]piece, 0, rapid.IntRange(1, 5).Draw(t, "pieces")), 200_000)
			var p []byte
			for _, piece := range pieces {
				p = append(p, piece.b...)
			}
			if len(files) > 0 {
				if filesAt[o.written.Load()] != files[0] {
					t.Fatalf("descriptor %d leaves at %d", files[0], o.written.Load())
				}
				delete(filesAt, o.written.Load())
			}
			n := len(p)
			if !all {
				n = rapid.IntRange(min(1, n), n).Draw(t, "n")
				if rapid.Bool().Draw(t, "meanwhile") {
					appendFrame()
				}
			}
			stream = append(stream, p[:n]...)
			o.advance(pieces, n)
		}
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			if rapid.Bool().Draw(t, "append") {
				appendFrame()
			} else {
				write(false)
			}
		}
		for o.queued.Load() > 0 {
			write(true)
		}
		if o.data.head != nil || o.control.head != nil || o.written.Load() != o.end || len(filesAt) > 0 || o.torn != nil {
			t.Fatalf("left over: %+v, %v", &o.data, filesAt)
		}
		var got [2]int
		for p := stream; len(p) > 0; {
			lane := 0
			if p[0] == 'c' {
				lane = 1
			}
			number, n := int(binary.BigEndian.Uint32(p[1:])), int(binary.BigEndian.Uint32(p[5:]))
			if number != got[lane] || !bytes.Equal(p[:9+n], testFrame(p[0], number, n)) {
				t.Fatalf("frame %d of lane %c is broken", got[lane], p[0])
			}
			got[lane]++
			p = p[9+n:]
		}
		if got != sent {
			t.Fatalf("got %v frames, want %v", got, sent)
		}
	})
}

func TestOutboxControlGoesFirst(t *testing.T) {
	var o outbox
	data := bytes.Repeat([]byte("d"), 1000)
	for range 1000 {
		o.data.append(data, nil)
		o.queued.Add(int64(len(data)))
	}
	pieces, _ := o.gather(make([]piece, 0, 64), 1<<30)
	o.advance(pieces, 100) // a frame is begun
	o.control.append([]byte("control"), nil)
	o.queued.Add(7)
	pieces, _ = o.gather(make([]piece, 0, 64), 1<<30)
	if n := len(pieces[0].b); n > segmentCut || string(pieces[1].b) != "control" {
		t.Errorf("control waits for %d bytes, then comes %.10q", n, pieces[1].b)
	}
	o.drop()
}
