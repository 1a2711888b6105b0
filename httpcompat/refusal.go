package httpcompat

import (
	"net"
	"net/http"
)

// This file is what other handlers that ask somebody for their answers say and do
// as a Proxy does.

// Refuse answers with a plain text that names the request, if it has an
// X-Request-Id.
func Refuse(w http.ResponseWriter, r *http.Request, code int, why string) { fail(w, r, code, why) }

// RefuseBusy answers with 503 and Retry-After, if err is as Busy says; else it does
// nothing and says so.
func RefuseBusy(w http.ResponseWriter, r *http.Request, err error) bool {
	why, after, ok := Busy(err)
	if !ok {
		return false
	}
	w.Header().Set("Retry-After", decimal(after))
	fail(w, r, http.StatusServiceUnavailable, why)
	return true
}

// Upgrades says whether r asks for another protocol. An offer of h2c is one that
// net/http ignores too.
func Upgrades(r *http.Request) bool { return upgrades(r) }

// Reset ends the connection below conn, TLS and other wrappings left aside, in a
// way that the client cannot take for an orderly end.
func Reset(conn net.Conn) { reset(conn) }

// HasToken says whether a comma-separated field has this element, in whatever case.
func HasToken(values []string, token string) bool { return hasToken(values, token) }
