package httpcompat_test

import (
	"fmt"
	"io"
	"log"
	"net/http"

	"github.com/heddle-go/heddle/httpcompat"
	"github.com/heddle-go/heddle/httpcompat/httpcompattest"
)

// A whole program: a worker when an engine starts it, else a plain server.
func ExampleListenAndServe() {
	log.Fatal(httpcompat.ListenAndServe("127.0.0.1:8080", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "Hello, heddle\n")
	})))
}

// Any http.Handler can be asked through sessions.
func ExampleHandler() {
	s := httpcompattest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s %s", r.Method, r.URL.Path)
	}))
	defer s.Close()
	resp, err := http.Get(s.URL + "/there")
	if err != nil {
		log.Fatal(err)
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	fmt.Println(resp.Status, string(body))
	http.DefaultClient.CloseIdleConnections()
	// Output: 200 OK GET /there
}
