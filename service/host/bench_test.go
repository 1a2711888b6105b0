package host

import (
	"testing"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/codec"
)

// BenchmarkCalls has 64 calls in flight on one connection, whose client does nothing
// but count bytes.
func BenchmarkCalls(b *testing.B) {
	c, err := Start(Options{Locator: "127.0.0.1:0", Storage: b.TempDir()})
	must(b, err)
	b.Cleanup(func() { _ = c.Close(b.Context()) })
	k := keep(b, c, heddle.V1)
	k.ok(write, "coll", "key", "blob", []any{"t"})
	for _, m := range []struct {
		service, name string
		id            uint64
		args          []any
	}{
		{"logging", "verbosity", 1, nil},
		{"locator", "resolve", resolve, []any{"storage"}},
		{"storage", "read", read, []any{"coll", "key"}},
	} {
		b.Run(m.name, func(b *testing.B) {
			p := to(b, c, m.service, heddle.V1)
			args := pack(b, list(m.args))
			channel := uint64(1) << 33 // so that all frames are of one length
			p.send(codec.AppendMethod(nil, heddle.V1, channel, m.id, args))
			_, raw, err := p.next()
			must(b, err)
			answer := len(raw)
			b.ReportAllocs()
			var calls []byte
			for left := b.N; left > 0; left -= 64 {
				calls = calls[:0]
				n := min(left, 64)
				for range n {
					channel++
					calls = codec.AppendMethod(calls, heddle.V1, channel, m.id, args)
				}
				p.send(calls)
				for got := 0; got < n*answer; {
					k, err := p.nc.Read(p.scratch[:])
					must(b, err)
					got += k
				}
			}
		})
	}
}
