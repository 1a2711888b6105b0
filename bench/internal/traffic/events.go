package traffic

import (
	"bufio"
	"errors"
	"fmt"
	"net/http"
	"time"
)

// beat is from one event, or WebSocket message, to the next.
const beat = 50 * time.Millisecond

func (t *Traffic) askEvents(c *conn, tk ticket, _ int) (answer, error) {
	_ = c.SetDeadline(time.Now().Add(t.o.Stream + t.o.Patience))
	if err := c.request(tk, fmt.Sprintf("GET /events?n=%d&every=%v", t.o.Stream/beat, beat)); err != nil {
		return answer{}, err
	}
	resp, a, err := c.response("GET", http.StatusOK)
	if err != nil {
		return a, err
	}
	lines, next, bye := bufio.NewScanner(resp.Body), 0, false
	for lines.Scan() {
		switch line := lines.Text(); {
		case line == "" || bye:
		case line == "event: bye":
			bye = true
		case line != fmt.Sprintf("data: %s %d", tk.id, next):
			return a, fmt.Errorf("wrong bytes: %q for event %d", line, next)
		default:
			next++
		}
	}
	if err := lines.Err(); err != nil {
		return a, fmt.Errorf("cut after %d events: %w", next, err)
	}
	if !bye {
		return a, errors.New("the stream ended without a bye")
	}
	return a, nil
}
