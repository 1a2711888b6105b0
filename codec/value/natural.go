package value

// natural reads a value as the Go type that comes closest; see the package comment.
func (d *decoder) natural(p []byte) (any, []byte, error) {
	c := p[0]
	if n, q, ok := arrayHead(p); ok {
		return d.naturalArray(n, q)
	}
	if n, q, ok := mapHead(p); ok {
		return d.naturalMap(n, q)
	}
	if err := d.alloc(1, 16); err != nil { // what the interface points to
		return nil, p, err
	}
	switch {
	case c == 0xc0:
		return nil, p[1:], nil
	case c == 0xc2 || c == 0xc3:
		return c == 0xc3, p[1:], nil
	case c == 0xca || c == 0xcb:
		f, rest := float(p)
		return f, rest, nil
	}
	if u, negative, rest, ok := integer(p); ok {
		if !negative && u>>63 != 0 {
			return u, rest, nil
		}
		return int64(u), rest, nil
	}
	if s, rest, ok := raw(p); ok {
		if err := d.alloc(len(s), 1); err != nil {
			return nil, p, err
		}
		if c >= 0xc4 && c <= 0xc6 {
			return append([]byte{}, s...), rest, nil
		}
		return string(s), rest, nil
	}
	typ, data, rest, _ := ext(p)
	if t, ok := extAsTime(typ, data); ok {
		return t, rest, nil
	}
	if err := d.alloc(len(data)+32, 1); err != nil {
		return nil, p, err
	}
	return Ext{Type: typ, Data: append([]byte{}, data...)}, rest, nil
}

func (d *decoder) naturalArray(n int, p []byte) (any, []byte, error) {
	if err := d.alloc(n+2, 16); err != nil {
		return nil, p, err
	}
	s := make([]any, n) // span has seen a byte of input for each
	var err error
	for i := range s {
		if s[i], p, err = d.natural(p); err != nil {
			return nil, p, atIndex(err, i)
		}
	}
	return s, p, nil
}

// entry is about what an entry of a growing map takes, in bytes.
const entry = 2 * (16 + 16 + 8)

// naturalMap makes a map[string]any, and a map[any]any of it at the first key that is no text.
func (d *decoder) naturalMap(n int, p []byte) (any, []byte, error) {
	if err := d.alloc(1, 48); err != nil {
		return nil, p, err
	}
	m := make(map[string]any, min(n, 64))
	var mixed map[any]any
	for range n {
		if err := d.alloc(1, entry); err != nil {
			return nil, p, err
		}
		key, q, err := d.naturalKey(p)
		if err != nil {
			return nil, p, at(err, "[key]")
		}
		x, q, err := d.natural(q)
		if err != nil {
			return nil, p, atKey(err, key)
		}
		p = q
		s, isText := key.(string)
		if !isText && mixed == nil {
			if err := d.alloc(len(m), entry); err != nil {
				return nil, p, err
			}
			mixed = make(map[any]any, min(n, 64))
			for k, v := range m {
				mixed[k] = v
			}
		}
		if mixed != nil {
			mixed[key] = x
		} else {
			m[s] = x
		}
	}
	if mixed != nil {
		return mixed, p, nil
	}
	return m, p, nil
}

// naturalKey reads a map's key: bytes are text there, and only scalars are keys.
func (d *decoder) naturalKey(p []byte) (any, []byte, error) {
	if s, rest, ok := raw(p); ok {
		return string(s), rest, d.alloc(len(s)+16, 1)
	}
	if c := p[0]; c == 0xc2 || c == 0xc3 || c == 0xca || c == 0xcb || c < 0x80 || c >= 0xe0 || c >= 0xcc && c <= 0xd3 {
		return d.natural(p)
	}
	return nil, p, badType(anyType, "%s as a map's key", kindOf(p))
}
