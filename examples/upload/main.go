// Upload reads the request's body in small pieces, as fast as -rate lets it,
// and answers with its size and SHA-256.
//
//	heddle run ./examples/upload -- -rate 1000000
//	curl -T FILE http://127.0.0.1:8080/
//
// A slow reader is what back-pressure is for: the client waits, and neither
// the front nor the worker fills its memory. Started by hand it is a plain
// net/http server on -addr.
package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"log"
	"net/http"
	"os"
	"time"

	"github.com/heddle-go/heddle/httpcompat"
)

const pieceSize = 4 << 10 // bytes read at a time

type receipt struct {
	Size   int64  `json:"size"` // bytes
	SHA256 string `json:"sha256"`
	PID    int    `json:"pid"` // the worker that read it
}

func main() {
	addr := flag.String("addr", "127.0.0.1:8080", "address to serve on when started by hand")
	rate := flag.Int64("rate", 0, "bytes per second to read of each body; 0 for no limit")
	flag.Parse()
	log.Fatal(httpcompat.ListenAndServe(*addr, handler(*rate)))
}

func handler(rate int64) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		sum := sha256.New()
		var size int64
		piece := make([]byte, pieceSize)
		start := time.Now()
		for {
			n, err := r.Body.Read(piece)
			sum.Write(piece[:n])
			size += int64(n)
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				http.Error(w, "reading the body: "+err.Error(), http.StatusBadRequest)
				return
			}
			if rate <= 0 {
				continue
			}
			due := start.Add(time.Duration(float64(size) / float64(rate) * float64(time.Second)))
			select {
			case <-time.After(time.Until(due)):
			case <-r.Context().Done():
				return // nobody is left to answer
			}
		}

		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(receipt{Size: size, SHA256: hex.EncodeToString(sum.Sum(nil)), PID: os.Getpid()})
	})
}
