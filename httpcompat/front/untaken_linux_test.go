package front

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/codec"
	"github.com/heddle-go/heddle/session"
)

// TestUntaken has clients that ask workers of Cocaine's, which no credit holds back,
// for large answers and take nothing: what waits for all of them is bounded, and it is
// they who are ended, not one that reads.
func TestUntaken(t *testing.T) {
	const size, slow, most = 12 << 20, 6, 24 << 20
	for _, d := range []heddle.Dialect{heddle.V0, heddle.V1} {
		t.Run(d.String(), func(t *testing.T) {
			r, _ := newPlainRig(t, d, func(_ context.Context, s *session.Session) {
				m, err := s.Recv()
				if err != nil {
					return
				}
				pieces := size / (64 << 10)
				if bytes.Contains(m.Data, []byte("/small")) {
					pieces = 1
				}
				piece := make([]byte, 64<<10)
				if d == heddle.V0 {
					piece = codec.AppendRaw(nil, piece)
				}
				_ = s.WriteChunk([]byte(foreignHead(200)))
				for range pieces {
					if s.WriteChunk(piece) != nil {
						return
					}
				}
			})
			ln := r.s.lanes[0]
			r.on(t, ln, func() { ln.mostHeld = most })
			for range slow {
				c := r.dial(t)
				c.SetReadBuffer(4 << 10)
				fmt.Fprint(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
			}
			for ended := false; !ended; {
				c := r.dial(t)
				fmt.Fprint(c, "GET /small HTTP/1.1\r\nHost: x\r\n\r\n")
				resp, err := http.ReadResponse(bufio.NewReader(c), nil)
				if err != nil {
					t.Fatal(err)
				}
				n, err := io.Copy(io.Discard, resp.Body)
				if n != 64<<10 || err != nil {
					t.Errorf("the one that reads: %d bytes, %v", n, err)
				}
				c.Close()
				r.on(t, ln, func() {
					if ln.held > most {
						t.Errorf("%d bytes are held", ln.held)
					}
				})
				ended = strings.Contains(r.log.String(), "takes its answer too slowly")
			}
		})
	}
}
