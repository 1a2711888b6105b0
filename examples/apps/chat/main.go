// Chat is a room: what one says, by WebSocket at /say, all hear. Who joins in
// hears what is said from then on. The room is in the worker's memory, so there
// must be one.
//
//	cd examples/apps && heddle run --workers 1 ./chat
package main

import (
	"flag"
	"log"
	"net/http"
	"sync"
	"time"

	"github.com/gorilla/websocket"

	"github.com/heddle-go/heddle/httpcompat"
)

// Bounds of one guest.
const (
	maxMessage = 4 << 10          // bytes
	backlog    = 64               // messages that may wait for a guest; who is slower has to go
	patience   = 10 * time.Second // for one message to be written
)

func main() {
	addr := flag.String("addr", "127.0.0.1:8080", "address to serve on when started by hand")
	flag.Parse()
	log.Fatal(httpcompat.ListenAndServe(*addr, newRoom()))
}

// A room is who is there.
type room struct {
	mu     sync.Mutex
	guests map[chan []byte]bool
}

func newRoom() *room { return &room{guests: make(map[chan []byte]bool)} }

var upgrader websocket.Upgrader

// ServeHTTP lets a guest in and returns when it has gone.
func (r *room) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	if req.URL.Path != "/say" {
		http.NotFound(w, req)
		return
	}
	c, err := upgrader.Upgrade(w, req, nil)
	if err != nil {
		return // the client was told
	}
	defer c.Close()
	c.SetReadLimit(maxMessage)
	hears := make(chan []byte, backlog)
	r.enter(hears)
	go func() { // ends when the guest has left the room
		for m := range hears {
			_ = c.SetWriteDeadline(time.Now().Add(patience))
			if c.WriteMessage(websocket.TextMessage, m) != nil {
				break
			}
		}
		_ = c.Close() // ends the reading below
	}()
	for {
		_, m, err := c.ReadMessage()
		if err != nil {
			break
		}
		r.say(m)
	}
	r.leave(hears)
}

func (r *room) enter(hears chan []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.guests[hears] = true
}

func (r *room) leave(hears chan []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.guests[hears] {
		delete(r.guests, hears)
		close(hears)
	}
}

func (r *room) say(m []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for hears := range r.guests {
		select {
		case hears <- m:
		default:
			delete(r.guests, hears)
			close(hears)
		}
	}
}
