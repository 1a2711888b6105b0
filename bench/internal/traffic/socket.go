package traffic

import (
	"fmt"
	"net/http"
	"time"

	"github.com/heddle-go/heddle/bench/internal/websocket"
)

const socketKey = "aGVkZGxlIGxpZmVjeWNsZQ==" // any 16 bytes do

// askSocket says things and hears them back, for as long as a stream lasts or
// the server likes. The odd clients' connections stay with a worker that is
// drained, for a while.
func (t *Traffic) askSocket(c *conn, tk ticket, client int) (answer, error) {
	_ = c.SetDeadline(time.Now().Add(t.o.Stream + t.o.Linger + t.o.Patience))
	linger := time.Duration(0)
	if client%2 == 1 {
		linger = t.o.Linger
	}
	err := c.request(tk, fmt.Sprintf("GET /socket?linger=%v", linger),
		"Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: "+socketKey)
	if err != nil {
		return answer{}, err
	}
	resp, a, err := c.response("GET", http.StatusSwitchingProtocols)
	if err != nil {
		return a, err
	}
	a.last = true
	if got, want := resp.Header.Get("Sec-WebSocket-Accept"), websocket.Accept(socketKey); got != want {
		return a, fmt.Errorf("wrong bytes: Sec-WebSocket-Accept %q", got)
	}
	for n := 0; ; n++ {
		said := fmt.Sprintf("%s %d", tk.id, n)
		if _, err := c.Write(websocket.AppendFrame(nil, websocket.Text, []byte(said), true)); err != nil {
			return a, fmt.Errorf("cut after %d messages: %w", n, err)
		}
		op, heard, err := websocket.ReadFrame(c.br)
		switch {
		case err != nil:
			return a, fmt.Errorf("cut after %d messages: %w", n, err)
		case op == websocket.Close:
			_, _ = c.Write(websocket.AppendClose(nil, websocket.GoingAway, true)) // the server may have left
			return a, nil
		case string(heard) != said:
			return a, fmt.Errorf("wrong bytes: %.100q, not %q", heard, said)
		}
		if time.Since(tk.sent) > t.o.Stream || !t.going() {
			return a, c.leave()
		}
		time.Sleep(beat)
	}
}

// leave closes a WebSocket in order.
func (c *conn) leave() error {
	if _, err := c.Write(websocket.AppendClose(nil, websocket.GoingAway, true)); err != nil {
		return fmt.Errorf("cut at the close: %w", err)
	}
	for {
		op, _, err := websocket.ReadFrame(c.br)
		if err != nil {
			return fmt.Errorf("cut at the close: %w", err)
		}
		if op == websocket.Close {
			return nil
		}
	}
}
