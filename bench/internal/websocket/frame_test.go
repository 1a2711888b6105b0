package websocket

import (
	"bufio"
	"bytes"
	"io"
	"testing"
)

// TestAccept has the example of RFC 6455 section 1.3.
func TestAccept(t *testing.T) {
	if got, want := Accept("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestFrames(t *testing.T) {
	for _, n := range []int{0, 1, 125, 126, 65535} {
		for _, client := range []bool{false, true} {
			want := bytes.Repeat([]byte("x"), n)
			frame := AppendFrame(nil, Text, want, client)
			op, got, err := ReadFrame(bufio.NewReader(bytes.NewReader(frame)))
			if op != Text || !bytes.Equal(got, want) || err != nil {
				t.Errorf("%d bytes, by a client: %v: got opcode %d, %d bytes, %v", n, client, op, len(got), err)
			}
			if n > 200 {
				continue
			}
			for cut := range frame {
				_, _, err := ReadFrame(bufio.NewReader(bytes.NewReader(frame[:cut])))
				if want := map[bool]error{true: io.EOF, false: io.ErrUnexpectedEOF}[cut == 0]; err != want && !(cut == 1 && err == io.ErrUnexpectedEOF) {
					t.Errorf("%d of %d bytes: got %v, want %v", cut, len(frame), err, want)
				}
			}
		}
	}
}

// TestMasked has the masked example of RFC 6455 section 5.7.
func TestMasked(t *testing.T) {
	frame := []byte{0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58}
	op, got, err := ReadFrame(bufio.NewReader(bytes.NewReader(frame)))
	if op != Text || string(got) != "Hello" || err != nil {
		t.Errorf("got opcode %d, %q, %v", op, got, err)
	}
}
