package bench

// A request id is 16 hex digits: the first tell runs apart, the last 40 bits count
// requests.
const (
	idLen     = 16
	idSeqBits = 40
	idSeqMask = 1<<idSeqBits - 1
)

const hexDigits = "0123456789abcdef"

// putID writes id into p, which has room for idLen digits.
func putID(p []byte, id uint64) {
	_ = p[idLen-1]
	for i := idLen - 1; i >= 0; i-- {
		p[i] = hexDigits[id&15]
		id >>= 4
	}
}

// parseID reads what putID wrote.
func parseID(p []byte) (id uint64, ok bool) {
	if len(p) != idLen {
		return 0, false
	}
	return hexNumber(p)
}

// hexNumber reads hex digits and nothing else, of which there are 1 to 16.
func hexNumber(p []byte) (n uint64, ok bool) {
	for _, c := range p {
		d := unhex(c)
		if d < 0 {
			return 0, false
		}
		n = n<<4 | uint64(d)
	}
	return n, true
}

// unhex returns the value of a hex digit, -1 if it is none.
func unhex(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c && c <= 'f':
		return int(c-'a') + 10
	case 'A' <= c && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}
