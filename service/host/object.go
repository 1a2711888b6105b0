package host

import (
	"bytes"
	"encoding/binary"
	"os"
	"syscall"

	"github.com/heddle-go/heddle/codec/value"
)

// trailerMagic ends an object's file.
const trailerMagic = "heddle\x00\x01"

const trailerEnd = 4 + len(trailerMagic) // bytes

// mostTrailer bounds a trailer, in bytes.
const mostTrailer = int64(mostTags*(mostName+3) + 16 + 8)

// trailer is what follows an object's blob in its file. A file without one is an
// object without tags, put there by hand.
//
// layout: tags msgpack array of raw, their length uint32 big endian, trailerMagic
func trailer(tags []string) []byte {
	b, err := old.Append(nil, append([]string{}, tags...))
	if err != nil {
		panic(err) // text has msgpack, and there is little of it
	}
	b = binary.BigEndian.AppendUint32(b, uint32(len(b)))
	return append(b, trailerMagic...)
}

// An object is an open file of one.
type object struct {
	f        *os.File
	blob     int64 // bytes, from the file's begin
	tagBytes int64 // behind them
}

// openObject opens an object and looks for its trailer. The caller closes it.
func (s *store) openObject(r *os.Root, collection, key string) (o object, err error) {
	at, err := s.present(r, collection)
	switch {
	case err != nil:
		return o, err
	case at == nil:
		return o, syscall.ENOENT
	}
	defer at.Close()
	fi, err := at.Lstat(key)
	if err != nil {
		return o, err
	}
	if !fi.Mode().IsRegular() {
		return o, notObject(fi)
	}
	// Whatever has taken its place since then, nobody waits for it.
	f, err := at.OpenFile(key, os.O_RDONLY|openFlags, 0)
	if err != nil {
		return o, err
	}
	defer func() {
		if err != nil {
			_ = f.Close()
		}
	}()
	if fi, err = f.Stat(); err != nil {
		return o, err
	}
	if !fi.Mode().IsRegular() {
		return o, notObject(fi)
	}
	o = object{f: f, blob: fi.Size()}
	end := make([]byte, trailerEnd)
	if _, err := f.ReadAt(end, o.blob-int64(trailerEnd)); err == nil && bytes.Equal(end[4:], []byte(trailerMagic)) {
		n := int64(binary.BigEndian.Uint32(end))
		if rest := o.blob - int64(trailerEnd) - n; n <= mostTrailer && rest >= 0 {
			o.blob, o.tagBytes = rest, n
		}
	}
	if o.blob > int64(s.most) {
		return o, syscall.EFBIG
	}
	return o, nil
}

// tags reads the object's.
func (o object) tags() (tags []string, err error) {
	if o.tagBytes == 0 {
		return nil, nil
	}
	b := make([]byte, o.tagBytes)
	if _, err := o.f.ReadAt(b, o.blob); err != nil {
		return nil, err
	}
	_, err = value.Decode(b, &tags, value.Limits{Elements: mostTags + 1})
	return tags, err
}
