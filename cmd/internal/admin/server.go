package admin

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Limits of the server. Profiles and traces that are asked for by seconds take
// their own time for writing, on top of writeTimeout.
const (
	headTimeout    = 5 * time.Second
	readTimeout    = 10 * time.Second
	writeTimeout   = 30 * time.Second
	idleTimeout    = 2 * time.Minute // Prometheus comes again within one
	maxHeaderBytes = 16 << 10
	maxBodyBytes   = 64 << 10 // of what pprof's symbol page is asked
	maxScrapes     = 8        // at once; more get 503
)

// Options are those of Open. Address and Source are needed.
type Options struct {
	Address Address
	Source  Source
	Logger  *slog.Logger // nil: slog.Default()

	probeEvery time.Duration // of loops; default 1 s
	keepFor    time.Duration // a release without workers; default 10 min
	keepMost   int           // releases without workers, of each app; default 5
}

// A Server serves the pages.
type Server struct {
	o     Options
	src   *Source
	ln    *limited
	srv   *http.Server
	lags  *lags
	names *releases
	quit  chan struct{}
	wg    sync.WaitGroup
	once  sync.Once
}

// Open takes the address and serves. Its error is of loop.ListenUnix, net.Listen,
// or wraps ErrNotLoopback.
func Open(o Options) (*Server, error) {
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	setDefault(&o.probeEvery, time.Second)
	setDefault(&o.keepFor, 10*time.Minute)
	setDefault(&o.keepMost, 5)
	s := &Server{o: o, src: &o.Source, quit: make(chan struct{}), lags: newLags(), names: newReleases(o.keepFor, o.keepMost)}
	registry := prometheus.NewRegistry()
	for _, c := range []prometheus.Collector{
		&collector{s.src, s.lags},
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	} {
		if err := registry.Register(c); err != nil {
			return nil, fmt.Errorf("admin: %w", err) // two metrics of one name
		}
	}
	errorLog := slog.NewLogLogger(o.Logger.Handler(), slog.LevelWarn)
	s.srv = &http.Server{
		ReadHeaderTimeout: headTimeout, ReadTimeout: readTimeout, WriteTimeout: writeTimeout, IdleTimeout: idleTimeout,
		MaxHeaderBytes: maxHeaderBytes,
		ErrorLog:       errorLog,
		Handler: http.MaxBytesHandler(s.guard(s.pages(promhttp.HandlerFor(registry, promhttp.HandlerOpts{
			ErrorLog:            errorLog,
			ErrorHandling:       promhttp.ContinueOnError, // what can be told is told
			MaxRequestsInFlight: maxScrapes,
			Registry:            registry,
		}))), maxBodyBytes),
	}
	ln, err := o.Address.listen()
	if err != nil {
		return nil, err
	}
	s.ln = limit(ln, maxConns)
	s.srv.ConnState = s.ln.note
	s.wg.Go(func() { // ends when Close closes the listener
		if err := s.srv.Serve(s.ln); !errors.Is(err, http.ErrServerClosed) {
			o.Logger.Error("admin: nobody can be answered any more", "url", s.URL(), "err", err)
		}
	})
	s.wg.Go(s.watch) // ends when Close closes quit
	return s, nil
}

func setDefault[T comparable](v *T, def T) {
	var zero T
	if *v == zero {
		*v = def
	}
}

// URL is how to reach it.
func (s *Server) URL() string { return urlOf(s.ln.Addr()) }

// Close ends it at once, whoever is being answered. Calling it again does no
// harm.
func (s *Server) Close() {
	s.once.Do(func() { close(s.quit) })
	_ = s.srv.Close() // the listener, too; its error is of no use any more
	_ = s.ln.Close()  // if Serve had not begun
	s.wg.Wait()
}

// watch does what is due whether anybody looks or not.
func (s *Server) watch() {
	tick := time.NewTicker(s.o.probeEvery)
	defer tick.Stop()
	for {
		s.lags.probe(s.src)
		if f := s.src.Front(); f != nil {
			s.names.prune(f, s.src.Apps(), time.Now())
		}
		select {
		case <-tick.C:
		case <-s.quit:
			return
		}
	}
}

// pages are all that can be asked for.
func (s *Server) pages(metrics http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", index)
	mux.Handle("GET /metrics", metrics)
	mux.HandleFunc("GET /healthz", s.healthz)
	mux.HandleFunc("GET /readyz", s.readyz)
	mux.Handle("/debug/pprof/", profiles())
	return mux
}

// guard refuses what a browser asks for because some page elsewhere had its own
// name resolve to a loopback address (DNS rebinding): here nobody is called by
// a name.
func (s *Server) guard(h http.Handler) http.Handler {
	if _, ok := s.o.Address.path(); ok || s.o.Address.anywhere {
		return h
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host, _, err := net.SplitHostPort(r.Host)
		if err != nil {
			host = r.Host // it has no port
		}
		if !isLocal(host) {
			http.Error(w, "421 Misdirected Request: this page is for loopback addresses and localhost, not for the name that you asked for", http.StatusMisdirectedRequest)
			return
		}
		h.ServeHTTP(w, r)
	})
}

// index says what there is.
func index(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = w.Write([]byte(indexPage)) // an error: nobody is there any more
}

const indexPage = `<!DOCTYPE html>
<html lang="en"><meta charset="utf-8"><title>heddle</title>
<h1>heddle</h1>
<ul>
<li><a href="/metrics">/metrics</a>: numbers, for Prometheus
<li><a href="/healthz">/healthz</a>: 200 while the daemon lives
<li><a href="/readyz">/readyz</a>: 200 while requests are answered
<li><a href="/debug/pprof/">/debug/pprof/</a>: profiles
</ul>
`
