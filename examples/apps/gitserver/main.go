// Gitserver serves the git repositories below a directory by smart HTTP: git's own
// http-backend, a CGI program, through net/http/cgi.
//
//	cd examples/apps && heddle run ./gitserver -- -root /srv/git
//
// Whoever can reach it may push: it asks for no password.
package main

import (
	"flag"
	"io"
	"log"
	"net/http"
	"net/http/cgi"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/heddle-go/heddle/httpcompat"
)

func main() {
	addr := flag.String("addr", "127.0.0.1:8080", "address to serve on when started by hand")
	root := flag.String("root", ".", "directory of the repositories")
	flag.Parse()
	h, err := handler(*root)
	if err != nil {
		log.Fatal(err)
	}
	log.Fatal(httpcompat.ListenAndServe(*addr, h))
}

func handler(root string) (http.Handler, error) {
	root, err := filepath.Abs(root)
	if err != nil {
		return nil, err
	}
	git, err := exec.LookPath("git")
	if err != nil {
		return nil, err
	}
	return measured(&cgi.Handler{
		Path: git,
		Args: []string{"http-backend"},
		Env:  []string{"GIT_PROJECT_ROOT=" + root, "GIT_HTTP_EXPORT_ALL=1", "REMOTE_USER=anybody"},
	}), nil
}

// maxPush is how long a body of unknown length may be, in bytes.
const maxPush = 1 << 30

// measured gives h requests whose bodies have a length, as a CGI program needs
// it. One that has none, a push of more than git's http.postBuffer, goes through
// a file.
func measured(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength >= 0 {
			h.ServeHTTP(w, r)
			return
		}
		f, err := os.CreateTemp("", "gitserver-*")
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		defer f.Close()
		_ = os.Remove(f.Name()) // it is ours as long as it is open
		n, err := io.Copy(f, http.MaxBytesReader(w, r.Body, maxPush))
		if err == nil {
			_, err = f.Seek(0, io.SeekStart)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		r = r.Clone(r.Context())
		r.Body, r.ContentLength, r.TransferEncoding = f, n, nil
		h.ServeHTTP(w, r)
	})
}
