package value

import (
	"encoding/binary"
	"math"
	"time"
)

// Ext is a msgpack extension that means nothing to this package.
type Ext struct {
	Type int8 // below 0: msgpack's own
	Data []byte
}

// Types of extensions that are times.
const (
	extTime     = -1 // msgpack specification, "Timestamp extension type"
	extMsgpTime = 5  // msgp's own: seconds int64, nanoseconds int32
)

// appendTime appends the timestamp extension in its shortest form; or, since the specification of 2012 has no
// extensions, the text of RFC 3339.
//
// ext(-1): seconds uint32; or nanoseconds uint30, seconds uint34; or nanoseconds uint32, seconds int64
func appendTime(b []byte, t time.Time, old bool) ([]byte, error) {
	if old {
		var text [64]byte
		s, err := t.AppendText(text[:0])
		if err != nil {
			return b, badType(timeType, "%v", err)
		}
		return append(appendRawHead(b, len(s), true), s...), nil
	}
	sec, nsec := t.Unix(), uint64(t.Nanosecond())
	switch {
	case sec>>34 != 0:
		b = append(b, 0xc7, 12, 0xff)
		b = binary.BigEndian.AppendUint32(b, uint32(nsec))
		return binary.BigEndian.AppendUint64(b, uint64(sec)), nil
	case nsec != 0 || sec > math.MaxUint32:
		return binary.BigEndian.AppendUint64(append(b, 0xd7, 0xff), nsec<<34|uint64(sec)), nil
	}
	return binary.BigEndian.AppendUint32(append(b, 0xd6, 0xff), uint32(sec)), nil
}

// extAsTime returns the time that an extension is, in UTC.
func extAsTime(typ int8, p []byte) (time.Time, bool) {
	var sec int64
	var nsec uint64
	switch {
	case typ == extTime && len(p) == 4:
		sec = int64(binary.BigEndian.Uint32(p))
	case typ == extTime && len(p) == 8:
		u := binary.BigEndian.Uint64(p)
		sec, nsec = int64(u&(1<<34-1)), u>>34
	case typ == extTime && len(p) == 12:
		nsec, sec = uint64(binary.BigEndian.Uint32(p)), int64(binary.BigEndian.Uint64(p[4:]))
	case typ == extMsgpTime && len(p) == 12:
		sec, nsec = int64(binary.BigEndian.Uint64(p)), uint64(binary.BigEndian.Uint32(p[8:]))
	default:
		return time.Time{}, false
	}
	if nsec > 999_999_999 {
		return time.Time{}, false
	}
	return time.Unix(sec, int64(nsec)).UTC(), true
}

// appendExt appends an extension with its head.
func appendExt(b []byte, x Ext) []byte {
	switch n := len(x.Data); {
	case n == 1 || n == 2 || n == 4 || n == 8 || n == 16:
		lead := map[int]byte{1: 0xd4, 2: 0xd5, 4: 0xd6, 8: 0xd7, 16: 0xd8}[n]
		b = append(b, lead)
	case n <= math.MaxUint8:
		b = append(b, 0xc7, byte(n))
	case n <= math.MaxUint16:
		b = append(b, 0xc8, byte(n>>8), byte(n))
	default:
		b = binary.BigEndian.AppendUint32(append(b, 0xc9), uint32(n))
	}
	return append(append(b, byte(x.Type)), x.Data...)
}
