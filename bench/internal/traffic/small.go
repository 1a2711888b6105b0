package traffic

import (
	"fmt"
	"io"
	"strings"
	"time"
)

func (t *Traffic) askGet(c *conn, tk ticket, _ int) (answer, error) {
	_ = c.SetDeadline(time.Now().Add(t.o.Patience))
	if err := c.request(tk, "GET /get", tk.closing()...); err != nil {
		return answer{}, err
	}
	return c.small(tk, "GET", "")
}

func (t *Traffic) askPost(c *conn, tk ticket, _ int) (answer, error) {
	_ = c.SetDeadline(time.Now().Add(t.o.Patience))
	body := strings.Repeat(tk.id+" ", 40)
	if err := c.request(tk, "POST /post", append(tk.closing(), fmt.Sprintf("Content-Length: %d", len(body)))...); err != nil {
		return answer{}, err
	}
	if _, err := io.WriteString(c, body); err != nil {
		return answer{}, fmt.Errorf("sending the body: %w", err)
	}
	return c.small(tk, "POST", body)
}
