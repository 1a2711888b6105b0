package traffic

import (
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/heddle-go/heddle/bench/internal/pattern"
)

// bodyPause is made after each piece of a body, so that bodies are under way
// most of the time.
const bodyPause = 5 * time.Millisecond

// askUpload sends a body, chunked if the client's number is odd.
func (t *Traffic) askUpload(c *conn, tk ticket, client int) (answer, error) {
	_ = c.SetDeadline(time.Now().Add(t.o.Patience))
	chunked := client%2 == 1
	length := fmt.Sprintf("Content-Length: %d", t.o.Size)
	if chunked {
		length = "Transfer-Encoding: chunked"
	}
	if err := c.request(tk, fmt.Sprintf("POST /upload?n=%d", t.o.Size), length); err != nil {
		return answer{}, err
	}
	if err := t.sendBody(c, chunked); err != nil {
		// Who refuses a request need not read it; the answer says so.
		if a, aerr := c.small(tk, "POST", ""); aerr != nil {
			return a, fmt.Errorf("sending the body: %w; then %w", err, aerr)
		}
		return answer{}, fmt.Errorf("sending the body: %w, although the answer is good", err)
	}
	return c.small(tk, "POST", "")
}

func (t *Traffic) sendBody(w io.Writer, chunked bool) error {
	for n := t.o.Size; n > 0; {
		piece := pattern.Block[:min(n, int64(len(pattern.Block)))]
		var err error
		if chunked {
			_, err = fmt.Fprintf(w, "%x\r\n%s\r\n", len(piece), piece)
		} else {
			_, err = w.Write(piece)
		}
		if err != nil {
			return err
		}
		n -= int64(len(piece))
		time.Sleep(bodyPause)
	}
	if chunked {
		_, err := io.WriteString(w, "0\r\n\r\n")
		return err
	}
	return nil
}

func (t *Traffic) askDownload(c *conn, tk ticket, _ int) (answer, error) {
	_ = c.SetDeadline(time.Now().Add(t.o.Patience))
	if err := c.request(tk, fmt.Sprintf("GET /download?n=%d", t.o.Size)); err != nil {
		return answer{}, err
	}
	resp, a, err := c.response("GET", http.StatusOK)
	if err != nil {
		return a, err
	}
	if resp.ContentLength != t.o.Size {
		return a, fmt.Errorf("wrong bytes: %d are announced, not %d", resp.ContentLength, t.o.Size)
	}
	if err := pattern.Check(&slow{r: resp.Body}, t.o.Size); err != nil {
		return a, fmt.Errorf("reading the answer: %w", err)
	}
	return a, nil
}

// A slow reader pauses after each piece.
type slow struct {
	r    io.Reader
	left int // bytes of the piece
}

func (s *slow) Read(p []byte) (int, error) {
	if s.left <= 0 {
		time.Sleep(bodyPause)
		s.left = len(pattern.Block)
	}
	n, err := s.r.Read(p)
	s.left -= n
	return n, err
}
