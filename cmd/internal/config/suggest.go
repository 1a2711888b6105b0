package config

import (
	"fmt"
	"strings"
)

// unknown says that there is no such key, and which one may be meant; quoted is
// one with a dot in it.
func unknown(name, app string, quoted bool) string {
	where, in := "the top level", app != ""
	if in {
		where = "[app." + app + "]"
		if !quoted && strings.HasPrefix(name, "log.") {
			where = "[app." + app + ".log]"
		}
	}
	short := strings.TrimPrefix(name, "log.")
	if quoted {
		return fmt.Sprintf("%q is no key of %s; leave out the quotes, or the dot", name, where)
	}
	msg := fmt.Sprintf("%q is no key of %s", short, where)
	if near := nearest(name, in); near != nil {
		return msg + fmt.Sprintf("; did you mean %q?", strings.TrimPrefix(near.Name, "log."))
	}
	if name == "apps" && !in {
		return msg + "; want a table [app.NAME] for each app"
	}
	// A slip, or the right name, at the wrong place.
	if near := nearest(name, !in); near != nil && near.Name != short {
		place := "at the top, before the first table"
		if near.App {
			place = "in [app.NAME]"
		}
		return msg + fmt.Sprintf("; did you mean %q, %s?", near.Name, place)
	}
	for _, k := range keys {
		switch {
		case k.Name == short && k.App:
			return msg + "; it belongs in [app.NAME]"
		case k.Name == short:
			return msg + "; it belongs at the top, before the first table"
		case k.Name == "log."+short:
			return msg + "; it belongs in [app.NAME.log]"
		}
	}
	return msg + "; docs/configuration.md lists them all"
}

// nearest is the key that name is a slip of, or nil.
func nearest(name string, app bool) *Key {
	name = strings.ReplaceAll(strings.ToLower(name), "_", "-")
	var best *Key
	least := 3 // edits; fewer for short names
	for i := range keys {
		k := &keys[i]
		if k.App != app || strings.HasPrefix(k.Name, "log.") != strings.HasPrefix(name, "log.") {
			continue
		}
		if d := distance(name, k.Name); d < least && 2*d < len(strings.TrimPrefix(k.Name, "log.")) {
			best, least = k, d
		}
	}
	return best
}

// Nearest is the one of names that name is a slip of; "": none.
func Nearest(name string, names []string) (best string) {
	least := 3 // edits; fewer for short names
	for _, other := range names {
		if d := distance(name, other); d < least && 2*d < len(other) {
			best, least = other, d
		}
	}
	return best
}

// distance is how many bytes must be put in, taken out, replaced or swapped with
// their neighbour to make b of a.
func distance(a, b string) int {
	if len(a) > 64 {
		return len(a)
	}
	two, one, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range one {
		one[j] = j
	}
	for i := range len(a) {
		row[0] = i + 1
		for j := range len(b) {
			replace := one[j]
			if a[i] != b[j] {
				replace++
			}
			row[j+1] = min(replace, one[j+1]+1, row[j]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], two[j-1]+1)
			}
		}
		two, one, row = one, row, two
	}
	return one[len(b)]
}
