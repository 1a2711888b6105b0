package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/heddle-go/heddle/httpcompat"
	"github.com/heddle-go/heddle/worker"
)

// appProgram is a worker with a page for whatever a script wants to see. Started by
// hand it serves alone on -addr.
func appProgram() {
	addr := flag.String("addr", "127.0.0.1:0", "address when started by hand")
	say := flag.String("say", "up", "word on standard output")
	warm := flag.Bool("warm", false, "warm up for ever")
	plain := flag.Bool("plain", false, "serve by net/http on -addr, whatever an engine says")
	flag.Parse()
	if *warm {
		worker.ManualOnline()
	}
	fmt.Println("app says", *say)
	fmt.Fprintln(os.Stderr, "app warns")
	sigs := make(chan os.Signal, 1)
	signal.Notify(sigs, os.Interrupt)
	go func() { // ends with the process
		for range sigs {
			fmt.Println("app got an interrupt")
		}
	}()
	mux := http.NewServeMux()
	mux.HandleFunc("/{$}", func(w http.ResponseWriter, r *http.Request) { fmt.Fprintln(w, "hello from app") })
	mux.HandleFunc("/say", func(w http.ResponseWriter, r *http.Request) { fmt.Fprintln(w, *say) })
	mux.HandleFunc("/index", func(w http.ResponseWriter, r *http.Request) { fmt.Fprintln(w, worker.Index()) })
	mux.HandleFunc("/break", func(w http.ResponseWriter, r *http.Request) { fmt.Fprintln(w, worker.ReportBroken(r.FormValue("why"))) })
	mux.HandleFunc("/pid", func(w http.ResponseWriter, r *http.Request) { fmt.Fprintln(w, os.Getpid()) })
	mux.HandleFunc("/who", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintln(w, os.Getuid(), os.Getgid(), os.Getenv("USER"), os.Getenv("LOGNAME"), os.Getenv("HOME"))
	})
	mux.HandleFunc("/late", func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	mux.HandleFunc("/file", func(w http.ResponseWriter, r *http.Request) { // of its directory
		b, err := os.ReadFile(r.FormValue("name"))
		if err != nil {
			http.Error(w, err.Error(), http.StatusNotFound)
			return
		}
		_, _ = w.Write(b) // the client may leave
	})
	mux.HandleFunc("/facts", func(w http.ResponseWriter, r *http.Request) {
		host, _, _ := net.SplitHostPort(r.RemoteAddr)
		fmt.Fprintln(w, r.Proto, "from", host, "tls", r.TLS != nil)
		if r.TLS != nil && len(r.TLS.PeerCertificates) > 0 {
			fmt.Fprintln(w, "client", r.TLS.PeerCertificates[0].Subject)
		}
		for _, name := range []string{"X-Request-Id", "X-Forwarded-For", "X-Forwarded-Proto", "Forwarded"} {
			fmt.Fprintf(w, "%s: %s\n", name, r.Header.Get(name))
		}
	})
	mux.HandleFunc("/slow", func(w http.ResponseWriter, r *http.Request) {
		d, err := time.ParseDuration(r.FormValue("d"))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		fmt.Println("app begins", d)
		select {
		case <-time.After(d):
			fmt.Fprintln(w, "slept", d)
		case <-r.Context().Done():
			fmt.Println("app was canceled")
		}
	})
	mux.HandleFunc("/sum", func(w http.ResponseWriter, r *http.Request) {
		h := sha256.New()
		n, err := io.Copy(h, r.Body)
		fmt.Fprintf(w, "%d bytes %x error %v\n", n, h.Sum(nil), err)
	})
	mux.HandleFunc("/bytes", func(w http.ResponseWriter, r *http.Request) {
		n, err := strconv.ParseInt(r.FormValue("n"), 10, 64)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Length", strconv.FormatInt(n, 10))
		_, _ = io.Copy(w, pattern(n)) // the client may leave
	})
	mux.HandleFunc("/flood", flood)
	mux.HandleFunc("/tea", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Add("X-Leaf", "green")
		w.Header().Add("X-Leaf", "black")
		w.WriteHeader(http.StatusTeapot)
		fmt.Fprintln(w, "short and stout", r.Method, r.Host != "", r.Header.Get("X-Asked"))
	})
	if *plain {
		log.Fatal(http.ListenAndServe(*addr, mux))
	}
	log.Fatal(httpcompat.ListenAndServe(*addr, mux))
}

// watches is a program that serves HTTP by itself, and asks package worker how it
// stands with its engine.
func watches() {
	fmt.Printf("watcher: suspended %v, index %d\n", worker.Suspended(), worker.Index())
	go func() { // ends with the process
		<-worker.Resumed()
		fmt.Println("watcher: resumed")
		for !worker.Suspended() {
			time.Sleep(time.Millisecond)
		}
		fmt.Println("watcher: suspended again")
	}()
	http.HandleFunc("/{$}", func(w http.ResponseWriter, r *http.Request) { fmt.Fprintln(w, "watched") })
	http.HandleFunc("/drained", func(w http.ResponseWriter, r *http.Request) {
		fmt.Println("watcher: asked")
		<-worker.Draining()
		fmt.Fprintln(w, "drained")
	})
	log.Fatal(http.ListenAndServe("127.0.0.1:"+os.Getenv("PORT"), nil))
}

// fails is a worker that cannot start.
func fails() {
	fmt.Fprintln(os.Stderr, "no database at db.example:5432")
	os.Exit(3)
}

// panics is a worker that cannot start either.
func panics() { panic("no config") }

// mute is a program that never speaks: any server that is no worker.
func mute() {
	fmt.Fprintln(os.Stderr, "serving alone")
	time.Sleep(time.Minute)
}

// pattern is n bytes that do not repeat soon.
func pattern(n int64) io.Reader {
	var block bytes.Buffer
	for i := range 4099 {
		fmt.Fprintf(&block, "%05d,", i)
	}
	return io.LimitReader(&endless{p: block.Bytes()}, n)
}

type endless struct {
	p   []byte
	off int
}

func (e *endless) Read(p []byte) (int, error) {
	n := copy(p, e.p[e.off:])
	e.off = (e.off + n) % len(e.p)
	return n, nil
}

// client asks over HTTP, for scripts:
//
//	client get URL          the body; fails unless the status is 2xx
//	client dump URL...      status, headers and body of several requests each
//	client put URL N        sends N bytes, compares the sum that comes back
//	client fetch URL N      gets URL/bytes?n=N, compares
//	client json SOCKET LINE...  sends JSON lines, each when the one before has its last answer, prints those
//	client raw URL FILE...  sends the files' lines, prints what comes back
//	client tls URL CN [CERT KEY]  asks until the server's name is CN, prints the body
//
// URL may be unix:/path, whose root is asked, or unix:/path,/page.
func client() {
	flag.Parse()
	if err := ask(flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "client:", err)
		os.Exit(1)
	}
}

func ask(args []string) error {
	switch {
	case len(args) < 2:
		return fmt.Errorf("got %q", args)
	case args[0] == "get":
		resp, err := do("GET", args[1], nil)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if resp.StatusCode/100 != 2 {
			return fmt.Errorf("%s: status %s", args[1], resp.Status)
		}
		_, err = io.Copy(os.Stdout, resp.Body)
		return err
	case args[0] == "dump":
		for _, method := range []string{"GET", "HEAD", "POST", "DELETE"} {
			for _, path := range []string{"/", "/tea", "/sum", "/bytes?n=100000", "/nobody"} {
				if err := dump(method, args[1]+path); err != nil {
					return err
				}
			}
		}
		return nil
	case args[0] == "json":
		return askJSON(args[1], args[2:])
	case args[0] == "raw":
		return askRaw(args[1], args[2:])
	case args[0] == "tls":
		return askTLS(args[1], args[2], args[3:])
	}
	n, err := strconv.ParseInt(args[2], 10, 64)
	if err != nil {
		return err
	}
	h := sha256.New()
	if _, err := io.Copy(h, pattern(n)); err != nil {
		return err
	}
	var got, want string
	if args[0] == "put" {
		want = fmt.Sprintf("%d bytes %x error <nil>\n", n, h.Sum(nil))
		resp, err := do("POST", args[1]+"/sum", pattern(n))
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		if err != nil {
			return err
		}
		got = string(b)
	} else {
		want = fmt.Sprintf("%d %x", n, h.Sum(nil))
		resp, err := do("GET", fmt.Sprintf("%s/bytes?n=%d", args[1], n), nil)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		h.Reset()
		k, err := io.Copy(h, resp.Body)
		if err != nil {
			return err
		}
		got = fmt.Sprintf("%d %x", k, h.Sum(nil))
	}
	if got != want {
		return fmt.Errorf("got %s, want %s", got, want)
	}
	fmt.Println(args[0], n, "ok")
	return nil
}

func do(method, url string, body io.Reader) (*http.Response, error) {
	tr := &http.Transport{DisableCompression: true}
	if path, ok := strings.CutPrefix(url, "unix:"); ok {
		path, page, _ := strings.Cut(path, ",")
		url = "http://unix/" + strings.TrimPrefix(page, "/")
		tr.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", path)
		}
	}
	req, err := http.NewRequest(method, url, body)
	if err != nil {
		return nil, err
	}
	req.Close = true
	req.Header.Set("X-Asked", "yes")
	return (&http.Client{Transport: tr, Timeout: time.Minute}).Do(req)
}

// dump prints all of an answer but what must differ: the date and the address.
func dump(method, url string) error {
	var body io.Reader
	if method == "POST" {
		body = pattern(70_000)
	}
	resp, err := do(method, url, body)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	resp.Header.Del("Date")
	fmt.Println(method, resp.Request.URL.RequestURI(), resp.Proto, resp.Status, resp.ContentLength, resp.TransferEncoding)
	var lines []string
	for k, vs := range resp.Header {
		for _, v := range vs {
			lines = append(lines, k+": "+v)
		}
	}
	slices.Sort(lines)
	fmt.Printf("%s\n\n%.80q %x\n\n", strings.Join(lines, "\n"), b, sha256.Sum256(b))
	return nil
}

// askRaw ends its lines as HTTP does.
func askRaw(url string, files []string) error {
	_, addr, _ := strings.Cut(url, "://")
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		return err
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		if _, err := c.Write(bytes.ReplaceAll(b, []byte("\n"), []byte("\r\n"))); err != nil {
			return err
		}
	}
	n, err := io.Copy(os.Stdout, c)
	if n == 0 && err == nil {
		err = io.ErrUnexpectedEOF
	}
	return err
}

// askTLS asks anew while the server shows another certificate: it looks at its
// files once a second.
func askTLS(url, name string, files []string) error {
	config := &tls.Config{InsecureSkipVerify: true}
	if len(files) == 2 {
		cert, err := tls.LoadX509KeyPair(files[0], files[1])
		if err != nil {
			return err
		}
		config.Certificates = []tls.Certificate{cert}
	}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: config, ForceAttemptHTTP2: true, DisableKeepAlives: true}, Timeout: time.Minute}
	for end := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		resp, err := client.Get(url)
		if err != nil {
			return err
		}
		b, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil {
			return err
		}
		got := resp.TLS.PeerCertificates[0].Subject.CommonName
		if got == name {
			fmt.Printf("%s %s", resp.Proto, b)
			return nil
		}
		if time.Now().After(end) {
			return fmt.Errorf("%s is %s, not %s", url, got, name)
		}
	}
}

func askJSON(path string, lines []string) error {
	c, err := net.Dial("unix", path)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		return err
	}
	r := bufio.NewReader(c)
	for _, line := range lines {
		if _, err := fmt.Fprintln(c, line); err != nil {
			return err
		}
		for {
			answer, err := r.ReadString('\n')
			if err != nil {
				return err
			}
			fmt.Print(answer)
			if strings.Contains(answer, `"done":true`) || strings.Contains(answer, `"errors":[`) {
				break
			}
		}
	}
	return nil
}
