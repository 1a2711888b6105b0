package codec

import "github.com/heddle-go/heddle"

// Defaults of Limits.
const (
	DefaultFrame    = 16 << 20
	DefaultDepth    = heddle.MaxDepth
	DefaultElements = heddle.MaxElements
)

// Limits bound what a peer may send in one frame. A zero field takes its default; Depth and Elements
// cannot be raised above theirs, because the decoders of the root package know no more.
type Limits struct {
	Frame    int // bytes, header included
	Depth    int // containers inside each other, counted from the argument list, which is one
	Elements int // objects in one frame, the frame itself counted
}

func (l Limits) withDefaults() Limits {
	if l.Frame <= 0 {
		l.Frame = DefaultFrame
	}
	if l.Depth <= 0 || l.Depth > DefaultDepth {
		l.Depth = DefaultDepth
	}
	if l.Elements <= 0 || l.Elements > DefaultElements {
		l.Elements = DefaultElements
	}
	return l
}
