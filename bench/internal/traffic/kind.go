package traffic

import "strings"

// A Kind is a way to ask.
type Kind int

// The kinds.
const (
	KeptGet Kind = iota
	ClosingGet
	KeptPost
	ClosingPost
	Upload
	Download
	Events
	Socket

	Kinds = 8
)

// table holds the kinds, by number.
var table = [Kinds]struct {
	name string
	key  string // the first word of its requests' ids
	kept bool   // a connection has several requests
}{
	KeptGet:     {name: "GET, kept", key: "get.kept", kept: true},
	ClosingGet:  {name: "GET, closing", key: "get.closing"},
	KeptPost:    {name: "POST, kept", key: "post.kept", kept: true},
	ClosingPost: {name: "POST, closing", key: "post.closing"},
	Upload:      {name: "upload", key: "upload", kept: true},
	Download:    {name: "download", key: "download", kept: true},
	Events:      {name: "events", key: "events"},
	Socket:      {name: "WebSocket", key: "socket"},
}

// String is the kind as tables show it.
func (k Kind) String() string { return table[k].name }

// kindOf is the kind of the request called id.
func kindOf(id string) (Kind, bool) {
	key, _, _ := strings.Cut(id, "-")
	for k, row := range table {
		if row.key == key {
			return Kind(k), true
		}
	}
	return 0, false
}
