// Package value turns Go values into msgpack and back, by reflection: what a program hands to a message or a
// call when its type has no generated methods.
//
//	b, err := value.Append(nil, map[string]any{"n": 1})
//	rest, err := value.Decode(b, &v, value.Limits{})
//
// # Which values
//
// Written and read are nil, bool, all integers and floats, string, []byte and [N]byte, [time.Time], [Ext], slices,
// arrays, maps whose keys are scalars, pointers, interfaces, structs, types with msgp's methods
// (MarshalMsg and UnmarshalMsg), and types with both MarshalText and UnmarshalText, which become their text.
//
// A struct is a map from field names to values:
//
//	type point struct {
//		X int `msg:"x"`
//		Y int `msg:"y,omitempty"` // left out when zero, or an empty slice or map
//		Z int // called "Z"
//		N int `msg:"-"` // left out
//	}
//
// or, with the marker, an array of the fields in their order:
//
//	type point struct {
//		_    struct{} `msg:",tuple"`
//		X, Y int
//	}
//
// Fields that are not exported are left out. The fields of an embedded struct are the outer one's, unless it
// has a name in its tag; those of an embedded pointer that is nil are absent, in a tuple nil. When two fields
// have one name, the less deeply embedded one has it.
//
// Everything else is a [*TypeError] that names the type and the path to it: functions, channels, complex numbers,
// unsafe pointers, uintptr, structs with fields none of which is exported, other map keys. A cyclic value ends in
// [ErrTooLarge]. [Append] then returns what it was given.
//
// # What is read into what
//
// Text and bytes are read from any of str, raw and bin; floats also from integers; integers only from integers
// that fit. Nil sets anything to its zero value. Fields that a map does not name stay as they were, and keys that no field has
// are skipped; likewise the end of a tuple that is too short or too long. A slice's array is used again
// when it is large enough, and a map that is there gets the entries added.
//
// Into an empty interface go nil, bool, int64 (uint64 above its range), float64, string, []byte, []any,
// map[string]any, time.Time and Ext; a map with a key that is no text becomes a map[any]any.
//
// What Decode sets is a copy of the input, except where a type's own UnmarshalMsg borrows, as heddle.Raw's does.
//
// # Two specifications
//
// msgpack of 2012 has one raw type for text and bytes, no str8, no bin and no ext, and real peers refuse those
// heads. [Options].Old writes it: []byte arrives as text there, and a time.Time as the text of RFC 3339.
package value
