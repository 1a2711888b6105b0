package bench

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
)

// A Target is the server that a run asks.
type Target struct {
	Network string `json:"network"` // tcp or unix
	Address string `json:"address"`
	Host    string `json:"host"` // what the requests' Host says
	Path    string `json:"path"` // of requests that name none, with its query

	// Of an app: its sessions are opened by way of the locator at Address, which may be
	// several, with commas.
	App     string `json:"app,omitempty"`     // "": it is a server of HTTP
	Event   string `json:"event,omitempty"`   // of requests that name none
	Dialect string `json:"dialect,omitempty"` // v0 or v1; default what the locator speaks, v1 first

	TLS      bool   `json:"tls,omitempty"`
	HTTP     string `json:"http,omitempty"`     // HTTP1 or HTTP2; default what TLS agrees on, without it HTTP1
	Protocol string `json:"protocol,omitempty"` // what was spoken, as the first connection has it: an app's dialect, or that of net/http's client
}

// What Target.HTTP asks for. HTTP2 without TLS is spoken at once (RFC 9113, 3.3).
const (
	HTTP1 = "1.1"
	HTTP2 = "2"
)

// ParseTarget reads http://host:port/path?query, the same with https, or
// unix:/socket:/path for a unix socket.
func ParseTarget(text string) (Target, error) {
	if rest, ok := strings.CutPrefix(text, "unix:"); ok {
		socket, path, _ := strings.Cut(rest, ":")
		if socket == "" || path != "" && path[0] != '/' {
			return Target{}, fmt.Errorf("bench: %q: want unix:/path/of/socket or unix:/path/of/socket:/path", text)
		}
		if path == "" {
			path = "/"
		}
		return Target{Network: "unix", Address: socket, Host: "localhost", Path: path}, nil
	}
	if !strings.Contains(text, "://") {
		text = "http://" + text
	}
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return Target{}, fmt.Errorf("bench: %w", err)
	case u.User != nil:
		return Target{}, fmt.Errorf("bench: %q: a name and password go into a header, 'Authorization: Basic ...'", u.Redacted())
	case u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "":
		return Target{}, fmt.Errorf("bench: %q: want http://host:port/path, https://host:port/path or unix:/path/of/socket", text)
	}
	if p := u.Port(); p != "" {
		if n, err := strconv.ParseUint(p, 10, 16); err != nil || n == 0 {
			return Target{}, fmt.Errorf("bench: %q: port %s; want 1 to 65535", text, p)
		}
	}
	t := Target{Network: "tcp", Address: u.Host, Host: u.Host, Path: u.RequestURI(), TLS: u.Scheme == "https"}
	if u.Port() == "" {
		t.Address = net.JoinHostPort(u.Hostname(), map[bool]string{false: "80", true: "443"}[t.TLS])
	}
	return t, nil
}

// AppTarget is an app that the locators at address know, host:port or unix:PATH.
func AppTarget(address, app, event string) Target {
	return Target{Network: "sessions", Address: address, Host: app, App: app, Event: event}
}

// Web says whether net/http's client asks it.
func (t *Target) Web() bool { return t.TLS || t.HTTP == HTTP2 }

// checkTarget says what is wrong with how the target is to be asked, or nil.
func (o *Options) checkTarget() error {
	t := &o.Target
	switch {
	case t.App != "" && (t.TLS || t.HTTP != ""):
		return errors.New("bench: an app's sessions have neither TLS nor a version of HTTP")
	case t.Dialect != "" && (t.App == "" || t.Dialect != "v0" && t.Dialect != "v1"):
		return fmt.Errorf("bench: dialect %q; want v0 or v1, of an app", t.Dialect)
	case t.HTTP != "" && t.HTTP != HTTP1 && t.HTTP != HTTP2:
		return fmt.Errorf("bench: HTTP/%s; want HTTP/%s or HTTP/%s", t.HTTP, HTTP1, HTTP2)
	case o.Pipeline > 1 && t.TLS && t.HTTP != HTTP2:
		return errors.New("bench: several requests outstanding on one connection of TLS take HTTP/2, to be asked for")
	}
	_, err := o.TLS.config(t)
	return err
}

// Name is the server in reports: its host as requests have it, a socket as in URLs.
func (t *Target) Name() string {
	if t.Network == "unix" {
		return "unix:" + t.Address
	}
	return t.Host
}

// Note is a line for a report's head, of how the target was asked; "": nothing to say.
func (t *Target) Note() string {
	switch {
	case t.App != "":
		d := t.Protocol
		if d == "" {
			d = "unknown"
		}
		return "sessions of dialect " + d + ", without HTTP: latencies count to a session's end"
	case !t.Web():
		return ""
	}
	how := t.Protocol
	if how == "" {
		how = "HTTP"
		if t.HTTP != "" {
			how += "/" + t.HTTP
		}
	}
	if t.TLS {
		how += " over TLS"
	}
	return how + " by net/http's client, which takes several times the CPU of plain HTTP/1.1 here: do not compare their figures"
}

// dialer is what makes the run's connections; nil: its loop does.
func (o *Options) dialer() (dialer, error) {
	switch {
	case o.Target.App != "":
		return newCaller(o)
	case o.Target.Web():
		return newWeb(o)
	}
	return nil, nil
}
