package admin

import (
	"fmt"
	"net/http"
	"net/http/pprof"
	"strconv"
	"time"
)

const (
	maxProfiles = 4               // at once; more get 503
	maxProfile  = 5 * time.Minute // that one is recorded for
)

// profiles are the pages below /debug/pprof/.
func profiles() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	places := make(chan struct{}, maxProfiles)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if text := r.FormValue("seconds"); text != "" {
			if n, err := strconv.ParseFloat(text, 64); err != nil || !(n >= 0 && n <= maxProfile.Seconds()) {
				http.Error(w, fmt.Sprintf("400 Bad Request: seconds=%.32q, want a number from 0 to %d", text, int(maxProfile.Seconds())), http.StatusBadRequest)
				return
			}
		}
		select {
		case places <- struct{}{}:
			defer func() { <-places }()
		default:
			http.Error(w, fmt.Sprintf("503 Service Unavailable: %d profiles are being taken already; try again", maxProfiles), http.StatusServiceUnavailable)
			return
		}
		mux.ServeHTTP(w, r)
	})
}
