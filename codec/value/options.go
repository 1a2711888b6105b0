package value

import (
	"math"

	"github.com/heddle-go/heddle"
)

// Defaults of Limits.
const (
	DefaultDepth    = 64
	DefaultElements = heddle.MaxElements
	DefaultBytes    = 16 << 20
)

// What Decode may allocate for each byte of input, and for any input, if Limits do not say.
const (
	memoryPerByte = 64      // bytes; an interface in a slice takes 16 for one byte of input
	memoryAnyway  = 1 << 20 // bytes
)

// Limits bound one value. A zero field takes its default; Depth cannot be raised above its own, nor Bytes above
// 2 GiB.
type Limits struct {
	Depth    int // arrays and maps inside each other
	Elements int // arrays, maps and their members alike
	Bytes    int // of msgpack

	// Memory is how many bytes Decode may allocate, about; those of a type's own UnmarshalMsg are not known and not
	// counted. The default is 1 MiB, or 64 times the input if that is more.
	Memory int
}

func (l Limits) withDefaults(input int) Limits {
	if l.Depth <= 0 || l.Depth > DefaultDepth {
		l.Depth = DefaultDepth
	}
	if l.Elements <= 0 {
		l.Elements = DefaultElements
	}
	if l.Bytes <= 0 {
		l.Bytes = DefaultBytes
	}
	l.Bytes = min(l.Bytes, math.MaxInt32)
	if l.Memory <= 0 {
		l.Memory = max(memoryAnyway, memoryPerByte*min(input, l.Bytes))
	}
	return l
}

// Options say how a value is written. The zero value is what Append uses.
type Options struct {
	Old    bool // msgpack as of 2012: no str8, no bin, no ext
	Limits Limits
}
