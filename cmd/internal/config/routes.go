package config

import (
	"cmp"
	"slices"
	"strings"
)

// Routes picks the app of a request by host and path. It is immutable, so that
// any goroutine may ask.
//
// An exact host goes before *.suffix, a longer suffix before a shorter one, and
// both before apps without hosts; *.suffix is any name that ends in .suffix,
// not suffix itself. Of a host's apps the one with the longest matching path
// gets the request; where none matches, the next less exact host is asked.
//
// A path matches itself and whatever goes on with a slash or a query. It is
// compared as it came: %61 is not a, and neither // nor .. means anything. So a
// route tells apps apart and is no access control.
type Routes struct {
	exact map[string][]route // by host in lower case, IPv6 in brackets, without port and final dot
	wild  map[string][]route // by suffix, without "*."
	any   []route
}

// A route is a path with its app. Those of a host are sorted, longest first.
type route struct {
	path string // without final slash: "" is every path
	app  int
}

// maxHost is the length of a domain name as text, RFC 1035 2.3.4, in bytes.
const maxHost = 253

// NewRoutes makes the routes of apps that Load has checked; Pick returns
// indexes into them.
func NewRoutes(apps []App) *Routes {
	r := &Routes{exact: make(map[string][]route), wild: make(map[string][]route)}
	for i := range apps {
		for _, host := range hostsOf(&apps[i]) {
			suffix, wild := strings.CutPrefix(host, "*.")
			for _, path := range pathsOf(&apps[i]) {
				rt := route{path, i}
				switch {
				case host == "":
					r.any = append(r.any, rt)
				case wild:
					r.wild[suffix] = append(r.wild[suffix], rt)
				default:
					r.exact[host] = append(r.exact[host], rt)
				}
			}
		}
	}
	sortRoutes(r.any)
	for _, m := range []map[string][]route{r.exact, r.wild} {
		for _, list := range m {
			sortRoutes(list)
		}
	}
	return r
}

func sortRoutes(list []route) {
	slices.SortStableFunc(list, func(a, b route) int { return cmp.Compare(len(b.path), len(a.path)) })
}

// hostsOf are an app's hosts in the form that routes are kept in; "" is every
// host.
func hostsOf(a *App) []string {
	if len(a.Hosts) == 0 {
		return []string{""}
	}
	hosts := make([]string, len(a.Hosts))
	for i, h := range a.Hosts {
		hosts[i] = strings.ToLower(strings.TrimSuffix(h, "."))
	}
	return hosts
}

// pathsOf are an app's paths likewise.
func pathsOf(a *App) []string {
	if len(a.Paths) == 0 {
		return []string{""}
	}
	paths := make([]string, len(a.Paths))
	for i, p := range a.Paths {
		paths[i] = strings.TrimSuffix(p, "/")
	}
	return paths
}

// Pick is the index of the app of a request, or -1. The host is what its Host
// field says, port and all; the path its target, with or without the query. It
// borrows both and does not allocate.
func (r *Routes) Pick(host, path []byte) int { return pick(r, host, path) }

// PickString is Pick of texts.
func (r *Routes) PickString(host, path string) int { return pick(r, host, path) }

func pick[T []byte | string](r *Routes, host, path T) int {
	var buf [maxHost]byte
	h := appendHost(buf[:0], host)
	if len(h) > 0 {
		if app := longest(r.exact[string(h)], path); app >= 0 {
			return app
		}
		if len(r.wild) > 0 && h[0] != '[' {
			for i := 1; i < len(h); i++ {
				if h[i] != '.' {
					continue
				}
				if app := longest(r.wild[string(h[i+1:])], path); app >= 0 {
					return app
				}
			}
		}
	}
	return longest(r.any, path)
}

// appendHost appends to dst, which has room for maxHost bytes, a request's host
// in lower case, without port and final dot. One that is none it leaves out.
func appendHost[T []byte | string](dst []byte, host T) []byte {
	end := len(host)
	if end > 0 && host[0] == '[' {
		for end = 1; end < len(host) && host[end-1] != ']'; end++ {
		}
		if end < len(host) && host[end] != ':' {
			return dst
		}
	} else {
		for i := range len(host) {
			if host[i] == ':' {
				end = i
				break
			}
		}
		if end > 0 && host[end-1] == '.' {
			end--
		}
	}
	if end > cap(dst) {
		return dst
	}
	for i := range end {
		b := host[i]
		if 'A' <= b && b <= 'Z' {
			b += 'a' - 'A'
		}
		dst = append(dst, b)
	}
	return dst
}

// longest is the app of the first route that path matches, or -1.
func longest[T []byte | string](list []route, path T) int {
	for i := range list {
		p := list[i].path
		if len(p) > len(path) || string(path[:len(p)]) != p {
			continue
		}
		if p == "" || len(p) == len(path) || path[len(p)] == '/' || path[len(p)] == '?' {
			return list[i].app
		}
	}
	return -1
}

// Settle is for apps of which some could not become what their file says, and stayed
// as they are in old: where two would have one route by now, all that are in old keep
// their old routes. It returns the apps as they can be, and who does not have the
// routes of apps: those that keep old ones, and new ones for which there is no place,
// which are not among the apps returned.
func Settle(apps, old []App) (settled []App, kept, refused []string) {
	if len(clashes(apps)) == 0 {
		return apps, nil, nil
	}
	byName := make(map[string]*App)
	for i := range old {
		byName[old[i].Name] = &old[i]
	}
	var added []App
	for _, a := range apps {
		o := byName[a.Name]
		if o == nil {
			added = append(added, a)
			continue
		}
		if !slices.Equal(a.Hosts, o.Hosts) || !slices.Equal(a.Paths, o.Paths) {
			kept = append(kept, a.Name)
			a.Hosts, a.Paths = o.Hosts, o.Paths
		}
		settled = append(settled, a)
	}
	for _, a := range added {
		if with := append(slices.Clone(settled), a); len(clashes(with)) == 0 {
			settled = with
		} else {
			refused = append(refused, a.Name)
		}
	}
	return settled, kept, refused
}

// A clash is a route that two apps have, or one of them twice.
type clash struct{ first, second, route string }

// clashes finds for each pair of apps the first route that both have.
func clashes(apps []App) []clash {
	type key struct{ host, path string }
	var found []clash
	owner := make(map[key]string)
	for i := range apps {
		a := &apps[i]
		told := make(map[string]bool)
		for _, host := range hostsOf(a) {
			for _, path := range pathsOf(a) {
				k := key{host, path}
				first, taken := owner[k]
				if !taken {
					owner[k] = a.Name
					continue
				}
				if !told[first] {
					told[first] = true
					found = append(found, clash{first, a.Name, routeText(host, path)})
				}
			}
		}
	}
	return found
}

// routeText is a route as people read it.
func routeText(host, path string) string {
	if host == "" {
		host = "of every host,"
		if path == "" {
			return "of every host and path"
		}
		return host + " " + path
	}
	return host + path + "/"
}
