package httpcompat

import (
	"net/url"
	"strconv"
	"strings"
)

// A requestURL is the URL of a request, part of the request's one allocation.
type requestURL struct{ url.URL }

// simple are the bytes that a path may consist of and be its own escaped form,
// so that there is nothing to decode and RawPath stays empty.
var simple = func() (t [256]bool) {
	for _, c := range "-_.~$&+,/:;=@0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ" {
		t[c] = true
	}
	return t
}()

// parse sets u to what url.ParseRequestURI makes of uri. Nearly all requests
// name a plain path, perhaps with a query, and take the short way.
func (u *requestURL) parse(method, uri string) error {
	if uri == "" || uri[0] != '/' {
		return u.parseOther(method, uri)
	}
	i := 0
	for i < len(uri) && simple[uri[i]] {
		i++
	}
	if i == len(uri) {
		u.URL = url.URL{Path: uri}
		return nil
	}
	if uri[i] != '?' {
		return u.parseOther(method, uri)
	}
	query := uri[i+1:]
	for j := 0; j < len(query); j++ {
		if c := query[j]; c < 0x20 || c == 0x7f {
			return errHead
		}
	}
	u.URL = url.URL{Path: uri[:i], RawQuery: query, ForceQuery: query == ""}
	return nil
}

// parseOther is the long way. CONNECT names an authority without a scheme.
func (u *requestURL) parseOther(method, uri string) error {
	authority := method == "CONNECT" && !strings.HasPrefix(uri, "/")
	if authority {
		uri = "http://" + uri
	}
	p, err := url.ParseRequestURI(uri)
	if err != nil {
		return errHead
	}
	u.URL = *p
	if authority {
		u.Scheme = ""
	}
	return nil
}

func decimal(n int64) string { return strconv.FormatInt(n, 10) }
