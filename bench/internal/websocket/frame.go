// Package websocket is as much of RFC 6455 as the benchmarks' two ends need:
// the key of the handshake and unfragmented frames of at most 64 KiB.
package websocket

import (
	"bufio"
	"crypto/sha1"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
)

// The frames' opcodes, RFC 6455 section 5.2.
const (
	Text  byte = 1
	Close byte = 8
)

// GoingAway is the status of a Close from a server that leaves, section 7.4.1.
const GoingAway = 1001

// Accept is what the server answers to a client's Sec-WebSocket-Key, section
// 4.2.2.
func Accept(key string) string {
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// AppendFrame appends a whole message. A client's has a mask, of zeros, so that
// the payload stands as it is.
func AppendFrame(dst []byte, op byte, payload []byte, client bool) []byte {
	var masked byte
	if client {
		masked = 0x80
	}
	dst = append(dst, 0x80|op)
	if len(payload) < 126 {
		dst = append(dst, masked|byte(len(payload)))
	} else {
		dst = append(dst, masked|126)
		dst = binary.BigEndian.AppendUint16(dst, uint16(len(payload)))
	}
	if client {
		dst = append(dst, 0, 0, 0, 0)
	}
	return append(dst, payload...)
}

// AppendClose appends the frame that ends a connection in order.
func AppendClose(dst []byte, status uint16, client bool) []byte {
	return AppendFrame(dst, Close, binary.BigEndian.AppendUint16(nil, status), client)
}

// ReadFrame reads the next message. io.EOF is an end between frames.
func ReadFrame(r *bufio.Reader) (op byte, payload []byte, err error) {
	var head [2]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, nil, err
	}
	if head[0]&0xf0 != 0x80 {
		return 0, nil, fmt.Errorf("websocket: a frame begins with %#x: a fragment, or a reserved bit", head[0])
	}
	n := int(head[1] & 0x7f)
	switch n {
	case 127:
		return 0, nil, fmt.Errorf("websocket: a frame above 64 KiB")
	case 126:
		var size [2]byte
		if _, err := io.ReadFull(r, size[:]); err != nil {
			return 0, nil, unexpected(err)
		}
		n = int(binary.BigEndian.Uint16(size[:]))
	}
	var mask [4]byte
	if head[1]&0x80 != 0 {
		if _, err := io.ReadFull(r, mask[:]); err != nil {
			return 0, nil, unexpected(err)
		}
	}
	payload = make([]byte, n)
	if _, err := io.ReadFull(r, payload); err != nil {
		return 0, nil, unexpected(err)
	}
	for i := range payload {
		payload[i] ^= mask[i%4]
	}
	return head[0] & 0x0f, payload, nil
}

func unexpected(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
