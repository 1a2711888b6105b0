package session

// A direction is the state of one stream of a session.
type direction uint8

const (
	dirOpen   direction = iota // chunks may travel
	dirEnded                   // ended in order, by choke
	dirBroken                  // ended abruptly: error, cancel, or the channel's end
)

func (d direction) String() string {
	switch d {
	case dirOpen:
		return "open"
	case dirEnded:
		return "ended"
	}
	return "broken"
}

// A Kind says what a message on a session's stream is.
type Kind uint8

const (
	Chunk    Kind = iota + 1 // a piece of the stream
	Choke                    // its orderly end
	Failure                  // its abrupt end: an error message
	Info                     // a 1xx head before the final one
	Trailers                 // trailers, before the choke
	Files                    // descriptors that belong to the next chunk
	Cancel                   // the asker is gone for good
	Gone                     // the asker's side was half-closed
	Window                   // credit
	Said                     // a message of a call
)

func (k Kind) String() string {
	names := [...]string{"", "chunk", "choke", "error", "info", "trailers", "files", "cancel", "gone", "window", "said"}
	if int(k) < len(names) && k > 0 {
		return names[k]
	}
	return "unknown"
}

// next is the whole table of one stream: the state after a message of kind k
// in state d. What may not come in d is ErrEnded: a message after the end.
// cancel, gone and window are legal after one's own choke (PROTOCOL 9).
func next(d direction, k Kind) (direction, error) {
	switch k {
	case Window, Gone:
		return d, nil
	case Cancel:
		return dirBroken, nil
	}
	if d != dirOpen {
		return d, ErrEnded
	}
	switch k {
	case Choke:
		return dirEnded, nil
	case Failure:
		return dirBroken, nil
	case Chunk, Info, Trailers, Files, Said:
		return dirOpen, nil
	}
	return d, ErrProtocol
}
