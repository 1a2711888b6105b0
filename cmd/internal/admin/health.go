package admin

import (
	"encoding/json"
	"net/http"
	"time"
)

// healthWait is how long the control loop may take to turn.
const healthWait = time.Second

// A health is what /healthz and /readyz say, with 200 for ok and else 503.
type health struct {
	OK      bool     `json:"ok"`
	Reasons []string `json:"reasons,omitempty"` // why not
}

func (h health) write(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	if !h.OK {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	_ = json.NewEncoder(w).Encode(h) // an error: nobody is there any more
}

// healthz says whether the control loop turns.
func (s *Server) healthz(w http.ResponseWriter, r *http.Request) {
	turned := make(chan struct{})
	if err := s.src.Control.Do(func() { close(turned) }); err != nil {
		health{Reasons: []string{"the control loop has ended: " + err.Error()}}.write(w)
		return
	}
	late := time.NewTimer(healthWait)
	defer late.Stop()
	select {
	case <-turned:
		health{OK: true}.write(w)
	case <-late.C:
		health{Reasons: []string{"the control loop has not turned for " + healthWait.String()}}.write(w)
	case <-r.Context().Done():
	}
}

// readyz says whether requests are answered now.
func (s *Server) readyz(w http.ResponseWriter, _ *http.Request) {
	why := s.src.unready()
	health{OK: len(why) == 0, Reasons: why}.write(w)
}

// unready is why requests are not answered: of the daemon, else of each app that
// does not.
func (src *Source) unready() (why []string) {
	if state := src.State(); state != Serving {
		return []string{"the daemon is " + state}
	}
	apps := src.Apps()
	for _, a := range apps {
		switch {
		case a.Elsewhere:
		case a.Engine == nil:
			why = append(why, a.Name+" is starting")
		case a.Engine.Status().Suspended && len(apps) > 1:
			why = append(why, a.Name+" is suspended: its requests wait; heddle resume --app "+a.Name+" lets them in")
		case a.Engine.Status().Suspended:
			why = append(why, a.Name+" is suspended: requests wait; heddle resume lets them in")
		case a.Engine.Stats().Online == 0:
			why = append(why, a.Name+" has no worker online; heddle status shows what they do")
		}
	}
	return why
}
