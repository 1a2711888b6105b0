package codec

import (
	"github.com/heddle-go/heddle"
	"github.com/tinylib/msgp/msgp"
)

// Every function here extends dst by one whole frame, unless it says otherwise, and returns it. Dialect v1
// frames have three elements; AppendHeaders adds the fourth.

// AppendHandshake appends a worker's first frame. An offer goes to Heddle engines only; nil is none.
func AppendHandshake(dst []byte, d heddle.Dialect, uuid string, offer *heddle.Offer) []byte {
	dst = appendControl(dst, d, heddle.TypeV0Handshake, heddle.MsgHandshake)
	if offer == nil {
		return AppendRawString(append(dst, 0x91), uuid)
	}
	dst, _ = offer.MarshalMsg(AppendRawString(append(dst, 0x92), uuid))
	return dst
}

// AppendHeartbeat appends a heartbeat, or the answer to one.
func AppendHeartbeat(dst []byte, d heddle.Dialect) []byte {
	return append(appendControl(dst, d, heddle.TypeV0Heartbeat, heddle.MsgHeartbeat), 0x90)
}

// AppendTerminate appends the request to end, or the notice of it.
func AppendTerminate(dst []byte, d heddle.Dialect, code int64, reason string) []byte {
	dst = appendControl(dst, d, heddle.TypeV0Terminate, heddle.MsgTerminate)
	return AppendRawString(appendInt(append(dst, 0x92), code), reason)
}

// AppendInvoke opens a session. A window of 0 or more bytes goes to Heddle workers only; below 0 is none.
func AppendInvoke(dst []byte, d heddle.Dialect, sid uint64, event string, window int64) []byte {
	dst = appendSession(dst, d, sid, heddle.TypeV0Invoke, heddle.MsgInvoke)
	if window < 0 {
		return AppendRawString(append(dst, 0x91), event)
	}
	return appendInt(AppendRawString(append(dst, 0x92), event), window)
}

// AppendChunk appends p as a piece of session sid.
func AppendChunk(dst []byte, d heddle.Dialect, sid uint64, p []byte) []byte {
	return append(AppendChunkHead(dst, d, sid, len(p)), p...)
}

// AppendChunkHead appends a chunk up to its payload, of which n bytes must follow.
func AppendChunkHead(dst []byte, d heddle.Dialect, sid uint64, n int) []byte {
	dst = appendSession(dst, d, sid, heddle.TypeV0Chunk, heddle.MsgWrite)
	return heddle.AppendRawHead(append(dst, 0x91), n)
}

// AppendChoke ends our direction of session sid in order.
func AppendChoke(dst []byte, d heddle.Dialect, sid uint64) []byte {
	return append(appendSession(dst, d, sid, heddle.TypeV0Choke, heddle.MsgClose), 0x90)
}

// AppendError ends our direction of session sid abruptly. Dialect v0 has no category, and wants a choke
// after it, which the caller appends.
func AppendError(dst []byte, d heddle.Dialect, sid uint64, category, code int64, msg string) []byte {
	dst = appendSession(dst, d, sid, heddle.TypeV0Error, heddle.MsgError)
	if d == heddle.V0 {
		return AppendRawString(appendInt(append(dst, 0x92), code), msg)
	}
	return AppendErrorArgs(dst, category, code, msg)
}

// AppendWindow grants n more bytes of credit on session sid.
func AppendWindow(dst []byte, sid, n uint64) []byte {
	return appendUint(append(appendPair(dst, sid, heddle.ExtWindow), 0x91), n)
}

// AppendCancel tells the server that the asker of session sid is gone for good.
func AppendCancel(dst []byte, sid uint64, category, code int64, msg string) []byte {
	return AppendErrorArgs(appendPair(dst, sid, heddle.ExtCancel), category, code, msg)
}

// AppendFiles announces n descriptors, which go with the first byte of this frame.
func AppendFiles(dst []byte, sid, n uint64) []byte {
	return appendUint(append(appendPair(dst, sid, heddle.ExtFiles), 0x91), n)
}

// AppendGone tells the server that the asker of session sid will send no more.
func AppendGone(dst []byte, sid uint64) []byte {
	return append(appendPair(dst, sid, heddle.ExtGone), 0x90)
}

// AppendExtension appends any v1 frame; args is a whole msgpack array.
func AppendExtension(dst []byte, sid, id uint64, args []byte) []byte {
	return append(appendPair(dst, sid, id), args...)
}

// AppendWelcome appends the engine's answer to an offer.
func AppendWelcome(dst []byte, w *heddle.WelcomeInfo) []byte {
	dst, _ = w.MarshalMsg(append(appendPair(dst, heddle.ControlChannel, heddle.CtlWelcome), 0x91))
	return dst
}

// AppendControl appends a control message without arguments: online, suspend.
func AppendControl(dst []byte, id uint64) []byte {
	return append(appendPair(dst, heddle.ControlChannel, id), 0x90)
}

// AppendReason appends a control message with a reason: broken, leaving.
func AppendReason(dst []byte, id uint64, reason string) []byte {
	return AppendRawString(append(appendPair(dst, heddle.ControlChannel, id), 0x91), reason)
}

// AppendDrain tells a worker that no new session comes on this channel, and how long it may take.
func AppendDrain(dst []byte, deadlineMS uint64) []byte {
	return appendUint(append(appendPair(dst, heddle.ControlChannel, heddle.CtlDrain), 0x91), deadlineMS)
}

// AppendResume tells a worker that it may begin what it holds back. An index of 0 or more is the place that a
// standby takes; below 0 is none.
func AppendResume(dst []byte, index int64) []byte {
	dst = appendPair(dst, heddle.ControlChannel, heddle.CtlResume)
	if index < 0 {
		return append(dst, 0x90)
	}
	return appendInt(append(dst, 0x91), index)
}

// AppendMethod appends a call of a service's method; args is a whole msgpack array.
func AppendMethod(dst []byte, d heddle.Dialect, sid, method uint64, args []byte) []byte {
	return append(appendSession(dst, d, sid, method, method), args...)
}

// AppendHeaders gives the v1 frame that begins at dst[frameStart] and ends with dst its headers. The frame
// must have three elements. Headers are written as literals and never stored in the peer's table.
func AppendHeaders(dst []byte, frameStart int, hs []Header) []byte {
	if dst[frameStart] != 0x93 {
		panic("codec: AppendHeaders wants a frame of three elements")
	}
	dst[frameStart] = 0x94
	dst = AppendArray(dst, len(hs))
	for _, h := range hs {
		dst = AppendRaw(AppendRaw(append(dst, 0x93, 0xc2), h.Name), h.Value)
	}
	return dst
}

// AppendRaw appends p as a msgpack raw; no frame.
func AppendRaw(dst, p []byte) []byte {
	return append(heddle.AppendRawHead(dst, len(p)), p...)
}

// AppendRawString appends s as a msgpack raw; no frame.
func AppendRawString(dst []byte, s string) []byte {
	return append(heddle.AppendRawHead(dst, len(s)), s...)
}

// AppendArray appends the head of an array of n elements, which the caller appends; no frame.
func AppendArray(dst []byte, n int) []byte {
	switch {
	case n < 16:
		return append(dst, 0x90|byte(n))
	case n <= 0xffff:
		return append(dst, 0xdc, byte(n>>8), byte(n))
	}
	return append(dst, 0xdd, byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
}

// appendControl begins a frame about the worker itself.
func appendControl(dst []byte, d heddle.Dialect, v0Type, id byte) []byte {
	if d == heddle.V0 {
		return append(dst, 0x93, v0Type, 0)
	}
	return append(dst, 0x93, heddle.ControlChannel, id)
}

// appendSession begins a frame of session sid.
func appendSession(dst []byte, d heddle.Dialect, sid, v0Type, id uint64) []byte {
	if d == heddle.V0 {
		return appendPair(dst, v0Type, sid)
	}
	return appendPair(dst, sid, id)
}

// appendPair begins a frame of three elements with its first two.
func appendPair(dst []byte, a, b uint64) []byte {
	if a < 0x80 && b < 0x80 {
		return append(dst, 0x93, byte(a), byte(b))
	}
	return appendUint(appendUint(append(dst, 0x93), a), b)
}

func appendUint(dst []byte, n uint64) []byte { return msgp.AppendUint64(dst, n) }

// appendInt appends n in shortest form. msgp writes 200 as an int16, where the uint8 is shorter.
func appendInt(dst []byte, n int64) []byte {
	if n >= 0 {
		return msgp.AppendUint64(dst, uint64(n))
	}
	return msgp.AppendInt64(dst, n)
}

// AppendErrorArgs appends the arguments of a v1 error, of whatever id; no frame.
func AppendErrorArgs(dst []byte, category, code int64, msg string) []byte {
	return AppendRawString(appendInt(appendInt(append(dst, 0x92, 0x92), category), code), msg)
}
