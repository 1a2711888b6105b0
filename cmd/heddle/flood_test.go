package main

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"time"
)

// flood has the worker write n numbered lines to standard output, 100,000 a
// second, and answers at once.
func flood(w http.ResponseWriter, r *http.Request) {
	n, err := strconv.Atoi(r.FormValue("n"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	go func() { // ends when all is written, or with the process
		begun := time.Now()
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		var b bytes.Buffer
		for i := 0; i < n; {
			<-tick.C
			b.Reset()
			for due := min(n, int(time.Since(begun).Seconds()*100_000)); i < due; i++ {
				fmt.Fprintf(&b, "flood %07d of a program that has a lot to say\n", i)
			}
			_, _ = os.Stdout.Write(b.Bytes()) // the engine reads as long as there is one
		}
		fmt.Println("flooded in", time.Since(begun))
	}()
}
