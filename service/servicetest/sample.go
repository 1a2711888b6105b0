package servicetest

import (
	"io"
	"strconv"
	"strings"

	"github.com/heddle-go/heddle"
)

// Sample starts a service with the methods of the function Sample.
func (c *Cloud) Sample(name string) *Service { return c.Add(name, 1, Sample(c.dialect)...) }

// Sample is a service with a method of each kind:
//
//	0 value    [args...]       -> the same values
//	1 void     []              -> nothing
//	2 fail     [category, code, text] -> that error; of v0 the code and text
//	3 download [n]             -> a stream of "0" to n-1
//	4 never    []              -> no answer as long as the caller is there
//	5 part     [n]             -> a stream of "0" to n-1 that does not end
//
// and in dialect v1 further
//
//	6 mute     [args...]       -> no answer at all
//	7 upload   [] and a stream -> its pieces, joined
//	8 both     [] and a stream -> a stream of the same pieces
//	9 levels   [] and open, then item [text] any times or deeper, then leaf -> ready, progress [text]
//	           for each item, inside, done [number of items]
func Sample(d heddle.Dialect) []Method {
	all := []Method{
		{ID: 0, Name: "value", Upstream: Primitive, Serve: func(c *Call) { _ = c.Value(c.Args()...) }},
		{ID: 1, Name: "void", Upstream: Primitive, Serve: func(*Call) {}},
		{ID: 2, Name: "fail", Params: Takes(Number, Number, Text), Upstream: Primitive, Serve: func(c *Call) {
			_ = c.Error(c.Int(0), c.Int(1), c.Text(2))
		}},
		{ID: 3, Name: "download", Params: Takes(Counter), Upstream: Streaming, Serve: func(c *Call) { count(c) }},
		{ID: 4, Name: "never", Upstream: Primitive, Serve: func(c *Call) { <-c.Context().Done() }},
		{ID: 5, Name: "part", Params: Takes(Counter), Upstream: Streaming, Serve: func(c *Call) {
			count(c)
			<-c.Context().Done()
		}},
	}
	if d == heddle.V0 {
		return all
	}
	return append(all,
		Method{ID: 6, Name: "mute", Serve: func(*Call) {}},
		Method{ID: 7, Name: "upload", Dispatch: Streaming, Upstream: Primitive, Serve: func(c *Call) {
			var all strings.Builder
			for {
				p, err := c.Piece()
				if err == io.EOF {
					_ = c.Value(all.String())
					return
				}
				if err != nil {
					_ = c.Error(42, 100, err.Error())
					return
				}
				all.WriteString(p)
			}
		}},
		Method{ID: 8, Name: "both", Dispatch: Streaming, Upstream: Streaming, Serve: echo},
		levels(),
	)
}

func count(c *Call) {
	for i := range c.Int(0) {
		if c.Write(strconv.FormatInt(i, 10)) != nil {
			return
		}
	}
}

// levels is a method whose graph is three tables deep in both directions.
func levels() Method {
	leaf := &Table{[]Arm{{0, "leaf", Params{}, End}, errorArm}}
	items := &Table{[]Arm{{0, "item", Takes(Text), nil}, errorArm, {2, "deeper", Params{}, leaf}}}
	done := &Table{[]Arm{{0, "done", Params{}, End}, errorArm}}
	progress := &Table{[]Arm{{0, "progress", Params{}, nil}, errorArm, {2, "inside", Params{}, done}}}
	return Method{
		ID: 9, Name: "levels",
		Dispatch: &Table{[]Arm{{0, "open", Params{}, items}, errorArm}},
		Upstream: &Table{[]Arm{{0, "ready", Params{}, progress}, errorArm}},
		Serve: func(c *Call) {
			n := 0
			for {
				m, err := c.Recv()
				if err != nil {
					return
				}
				switch m.Name {
				case "open":
					err = c.Send("ready")
				case "item":
					n++
					err = c.Send("progress", m.Args[0])
				case "deeper":
					err = c.Send("inside")
				case "leaf":
					err = c.Send("done", n)
				case "error":
					err = c.Error(42, 100, "the caller has failed")
				}
				if err != nil {
					return
				}
			}
		},
	}
}
