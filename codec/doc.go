// Package codec turns bytes into Heddle's messages and back. It is made of pure functions and one
// resumable decoder; it knows limits and shapes, and never what a message means.
//
// Reading is in two steps. [Decoder.Next] cuts the next frame off the front of the channel's bytes and
// hands out its arguments undecoded; who knows what the frame means decodes them with [DecodeArgs] into a
// message of the root package. Both borrow: every slice points into the bytes given, and is valid as long
// as they are.
//
// Writing is one function per message, Append…, which extends its first argument and returns it. What is
// written is msgpack as the specification of 2012 has it, in shortest form, since real peers refuse the rest.
//
// Nothing here allocates on the way of a sound frame, and a refusal never allocates what was promised and
// has not arrived.
package codec
