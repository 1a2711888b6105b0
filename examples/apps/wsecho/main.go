// Wsecho sends back what a WebSocket client says, by two libraries that know
// nothing of each other: /gorilla and /coder.
//
//	cd examples/apps && heddle run ./wsecho
package main

import (
	"flag"
	"log"
	"net/http"
	"time"

	coder "github.com/coder/websocket"
	gorilla "github.com/gorilla/websocket"

	"github.com/heddle-go/heddle/httpcompat"
)

// maxMessage is the longest message taken, in bytes.
const maxMessage = 65 << 20

// Who says leave is left, with code left and goodbye for a reason.
const (
	leave   = "leave"
	left    = 4002
	goodbye = "as you say"
)

func main() {
	addr := flag.String("addr", "127.0.0.1:8080", "address to serve on when started by hand")
	flag.Parse()
	log.Fatal(httpcompat.ListenAndServe(*addr, handler()))
}

func handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/gorilla", echoGorilla)
	mux.HandleFunc("/coder", echoCoder)
	return mux
}

var upgrader = gorilla.Upgrader{EnableCompression: true}

func echoGorilla(w http.ResponseWriter, r *http.Request) {
	c, err := upgrader.Upgrade(w, r, nil)
	if err != nil {
		return // the client was told
	}
	defer c.Close()
	c.SetReadLimit(maxMessage)
	for {
		kind, p, err := c.ReadMessage()
		if err != nil {
			return // the close frame was answered
		}
		if string(p) == leave {
			_ = c.WriteControl(gorilla.CloseMessage, gorilla.FormatCloseMessage(left, goodbye), time.Now().Add(10*time.Second))
			return // a client that has gone needs no goodbye
		}
		if err := c.WriteMessage(kind, p); err != nil {
			return
		}
	}
}

func echoCoder(w http.ResponseWriter, r *http.Request) {
	c, err := coder.Accept(w, r, &coder.AcceptOptions{CompressionMode: coder.CompressionContextTakeover})
	if err != nil {
		return // the client was told
	}
	defer c.CloseNow()
	c.SetReadLimit(maxMessage)
	for {
		kind, p, err := c.Read(r.Context())
		if err != nil {
			return // the close frame was answered
		}
		if string(p) == leave {
			_ = c.Close(left, goodbye)
			return // a client that has gone needs no goodbye
		}
		if err := c.Write(r.Context(), kind, p); err != nil {
			return
		}
	}
}
