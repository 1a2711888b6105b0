package config

import "fmt"

// What a value came from.
const (
	FromDefault = "default"
	FromFlag    = "flag"
	FromFile    = "file"
)

// An Origin is where a value came from. Its JSON is that of config show.
type Origin struct {
	From string `json:"from"`           // FromDefault, FromFlag or FromFile
	File string `json:"file,omitempty"` // FromFile: as Error.File
	Line int    `json:"line,omitempty"` // FromFile: where the value begins, from 1
	Flag string `json:"flag,omitempty"` // FromFlag: its name, without dashes
}

func (o Origin) String() string {
	switch o.From {
	case FromFile:
		return fmt.Sprintf("%s:%d", o.File, o.Line)
	case FromFlag:
		return "flag --" + o.Flag
	}
	return FromDefault
}
