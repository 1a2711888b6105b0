package codec

import (
	"github.com/heddle-go/heddle"
	"github.com/tinylib/msgp/msgp"
)

// A Message is a root type: decoded by its generated method, reset by its own.
type Message interface {
	Reset()
	UnmarshalMsg([]byte) ([]byte, error)
}

// DecodeArgs resets m and decodes a frame's argument list into it. At least required arguments must be
// there; the rest may be missing, and further ones are skipped. m borrows args. The error is a *SyntaxError.
func DecodeArgs(m Message, args []byte, required int) error {
	if n := ArgCount(args); n < required {
		return &SyntaxError{What: "argument missing"}
	}
	m.Reset()
	if _, err := m.UnmarshalMsg(args); err != nil {
		return &SyntaxError{What: "arguments: " + err.Error()}
	}
	return nil
}

// ArgCount returns how many elements the array at the front of args has; 0 if there is none.
func ArgCount(args []byte) int {
	n, _, err := msgp.ReadArrayHeaderBytes(args)
	if err != nil {
		return 0
	}
	return int(n)
}

// Revoke decodes the arguments of the control method revoke: the session that ends, and why. The error is
// a *SyntaxError.
//
// array(2): session uint, code array(2) of category int and code int
func Revoke(args []byte) (sid uint64, category, code int64, err error) {
	n, p, err := msgp.ReadArrayHeaderBytes(args)
	if err == nil && n < 2 {
		return 0, 0, 0, &SyntaxError{What: "argument missing"}
	}
	if err == nil {
		sid, p, err = msgp.ReadUint64Bytes(p)
	}
	var c heddle.ErrorCode
	if err == nil {
		_, err = c.UnmarshalMsg(p)
	}
	if err != nil {
		return 0, 0, 0, &SyntaxError{What: "arguments: " + err.Error()}
	}
	return sid, c.Category, c.Code, nil
}

// deepest is how many bytes of a head are let through to the generated decoder unseen. That one skips
// elements it does not know by recursion; in this many bytes it cannot go deep enough to matter.
const deepest = 4096

// DecodeRequestHead resets h and decodes the first chunk of a request into it. h borrows p. ErrShort: p is
// cut off. The other errors are *SyntaxError and ErrTooLarge; they end the session, not the channel.
func DecodeRequestHead(h *heddle.RequestHead, p []byte) error {
	h.Reset()
	return decodeHead(h, p, 5)
}

// DecodeResponseHead resets h and decodes the first chunk of a response into it. h borrows p. The errors
// are those of DecodeRequestHead.
func DecodeResponseHead(h *heddle.ResponseHead, p []byte) error {
	h.Reset()
	return decodeHead(h, p, 2)
}

func decodeHead(m Message, p []byte, required uint32) error {
	if n, _, err := msgp.ReadArrayHeaderBytes(p); err == nil && n < required {
		return &SyntaxError{What: "head has too few elements"}
	}
	if len(p) > deepest {
		var v heddle.Value
		if _, err := v.UnmarshalMsg(p); err != nil {
			return headError(err)
		}
	}
	rest, err := m.UnmarshalMsg(p)
	if err != nil {
		return headError(err)
	}
	if len(rest) > 0 {
		return &SyntaxError{Off: int64(len(p) - len(rest)), What: "bytes after the head"}
	}
	return nil
}

func headError(err error) error {
	switch msgp.Cause(err) {
	case msgp.ErrShortBytes:
		return ErrShort
	case heddle.ErrDepth, heddle.ErrElements, msgp.ErrLimitExceeded:
		return tooLarge(0, "head: "+err.Error())
	}
	return &SyntaxError{What: "head: " + err.Error()}
}

// AppendRequestHead appends h, no frame. Plain is the form of Cocaine's peers, of five elements.
func AppendRequestHead(dst []byte, h *heddle.RequestHead, plain bool) []byte {
	if !plain {
		dst, _ = h.MarshalMsg(dst)
		return dst
	}
	dst = AppendRaw(AppendRaw(AppendRaw(append(dst, 0x95), h.Method), h.URI), h.Version)
	return AppendRaw(appendHTTPHeaders(dst, h.Headers), h.Body)
}

// AppendResponseHead appends h in shortest form, no frame.
func AppendResponseHead(dst []byte, h *heddle.ResponseHead) []byte {
	return appendHTTPHeaders(appendInt(append(dst, 0x92), h.Code), h.Headers)
}

func appendHTTPHeaders(dst []byte, hs []heddle.Header) []byte {
	dst = AppendArray(dst, len(hs))
	for _, h := range hs {
		dst = AppendRaw(AppendRaw(append(dst, 0x92), h.Name), h.Value)
	}
	return dst
}
