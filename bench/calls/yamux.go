package main

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"

	"github.com/hashicorp/yamux"
)

// On a stream of yamux, request and reply are each preceded by their length,
// since a stream has no other way to tell where one ends.
//
//	length uint32, big endian; body
const lengthSize = 4 // bytes

// frames are buffers for a length and what follows it.
var frames = sync.Pool{New: func() any { return new([]byte) }}

func yamuxConfig() *yamux.Config {
	c := yamux.DefaultConfig()
	c.LogOutput = io.Discard
	return c
}

func serveYamux(path string) error {
	ln, err := net.Listen("unix", path)
	if err != nil {
		return err
	}
	go func() { // until the process ends
		for {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			session, err := yamux.Server(nc, yamuxConfig())
			if err != nil {
				nc.Close()
				continue
			}
			go answerStreams(session) // until the session ends
		}
	}()
	return nil
}

func answerStreams(session *yamux.Session) {
	for {
		stream, err := session.AcceptStream()
		if err != nil {
			return
		}
		go func() { // ends with the stream
			defer stream.Close()
			frame := frames.Get().(*[]byte)
			defer frames.Put(frame)
			request, err := readFrame(stream, *frame)
			if err != nil {
				return // the caller is gone
			}
			*frame = request
			_, _ = stream.Write(request)
		}()
	}
}

func dialYamux(path string) (loader, error) {
	nc, err := net.Dial("unix", path)
	if err != nil {
		return nil, err
	}
	session, err := yamux.Client(nc, yamuxConfig())
	if err != nil {
		return nil, err
	}
	return blocking(func(request, buf []byte) ([]byte, error) {
		stream, err := session.OpenStream()
		if err != nil {
			return nil, err
		}
		defer stream.Close()
		frame := frames.Get().(*[]byte)
		defer frames.Put(frame)
		*frame = appendFrame((*frame)[:0], request)
		if _, err := stream.Write(*frame); err != nil {
			return nil, err
		}
		reply, err := readFrame(stream, buf)
		if err != nil {
			return nil, err
		}
		return reply[lengthSize:], nil
	}), nil
}

// appendFrame appends body with its length.
func appendFrame(dst, body []byte) []byte {
	return append(binary.BigEndian.AppendUint32(dst, uint32(len(body))), body...)
}

// readFrame reads one body with its length, into buf if there is room.
func readFrame(r io.Reader, buf []byte) ([]byte, error) {
	if cap(buf) < lengthSize {
		buf = make([]byte, lengthSize)
	}
	buf = buf[:lengthSize]
	if _, err := io.ReadFull(r, buf); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(buf)
	if n > longest {
		return nil, fmt.Errorf("a body of %d bytes", n)
	}
	buf = slices.Grow(buf, int(n))[:lengthSize+n]
	_, err := io.ReadFull(r, buf[lengthSize:])
	return buf, err
}
