package jsonwire

import "encoding/binary"

// mostDepth is how deep values may nest, as in encoding/json.
const mostDepth = 10_000

// Valid says whether p is one JSON value, with white space around it, as json.Valid does; it is
// several times as fast where text is long.
func Valid(p []byte) bool {
	i := check(p, skip(p, 0), 0)
	return i >= 0 && skip(p, i) == len(p)
}

// skip returns where the next token begins, or the end.
func skip(p []byte, i int) int {
	for i < len(p) && (p[i] == ' ' || p[i] == '\t' || p[i] == '\n' || p[i] == '\r') {
		i++
	}
	return i
}

// check returns the end of the value that begins at p[i], or -1.
func check(p []byte, i, depth int) int {
	if i >= len(p) {
		return -1
	}
	switch c := p[i]; c {
	case '"':
		return checkText(p, i)
	case '{', '[':
		return checkMembers(p, i, depth+1)
	case 't':
		return checkWord(p, i, "true")
	case 'f':
		return checkWord(p, i, "false")
	case 'n':
		return checkWord(p, i, "null")
	}
	return checkNumber(p, i)
}

func checkWord(p []byte, i int, word string) int {
	if len(p)-i < len(word) || string(p[i:i+len(word)]) != word {
		return -1
	}
	return i + len(word)
}

// checkMembers is of an object or an array.
func checkMembers(p []byte, i, depth int) int {
	if depth > mostDepth {
		return -1
	}
	end := p[i] + 2 // ']' and '}' are two behind their openers
	if i = skip(p, i+1); i < len(p) && p[i] == end {
		return i + 1
	}
	for {
		if end == '}' {
			if i >= len(p) || p[i] != '"' {
				return -1
			}
			if i = checkText(p, i); i < 0 {
				return -1
			}
			if i = skip(p, i); i >= len(p) || p[i] != ':' {
				return -1
			}
			i = skip(p, i+1)
		}
		if i = check(p, i, depth); i < 0 {
			return -1
		}
		if i = skip(p, i); i >= len(p) {
			return -1
		}
		switch p[i] {
		case end:
			return i + 1
		case ',':
			i = skip(p, i+1)
		default:
			return -1
		}
	}
}

// checkText is of a text with its quotes.
func checkText(p []byte, i int) int {
	for i = plain(p, i+1); i < len(p); i = plain(p, i) {
		switch c := p[i]; {
		case c == '"':
			return i + 1
		case c != '\\' || i+1 >= len(p):
			return -1
		}
		switch p[i+1] {
		case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
			i += 2
		case 'u':
			if len(p)-i < 6 {
				return -1
			}
			for _, c := range p[i+2 : i+6] {
				if (c < '0' || c > '9') && (c|0x20 < 'a' || c|0x20 > 'f') {
					return -1
				}
			}
			i += 6
		default:
			return -1
		}
	}
	return -1
}

// plain returns where p[i:] has the first quote, backslash or control character, or the end.
// Eight bytes at a time: x-n has the top bit of a byte that was below n, unless that was set in x.
func plain(p []byte, i int) int {
	const ones, tops = 0x0101010101010101, 0x8080808080808080
	for ; len(p)-i >= 8; i += 8 {
		x := binary.LittleEndian.Uint64(p[i:])
		quote, back := x^ones*'"', x^ones*'\\'
		if ((x-ones*0x20)&^x|(quote-ones)&^quote|(back-ones)&^back)&tops != 0 {
			break
		}
	}
	for i < len(p) && p[i] >= 0x20 && p[i] != '"' && p[i] != '\\' {
		i++
	}
	return i
}

func checkNumber(p []byte, i int) int {
	if i < len(p) && p[i] == '-' {
		i++
	}
	switch start := i; {
	case i < len(p) && p[i] == '0':
		i++
	default:
		if i = digits(p, i); i == start {
			return -1
		}
	}
	if i < len(p) && p[i] == '.' {
		start := i + 1
		if i = digits(p, start); i == start {
			return -1
		}
	}
	if i < len(p) && p[i]|0x20 == 'e' {
		i++
		if i < len(p) && (p[i] == '+' || p[i] == '-') {
			i++
		}
		start := i
		if i = digits(p, i); i == start {
			return -1
		}
	}
	return i
}

func digits(p []byte, i int) int {
	for i < len(p) && p[i] >= '0' && p[i] <= '9' {
		i++
	}
	return i
}
