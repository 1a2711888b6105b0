package config

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/BurntSushi/toml"
)

// A Setting is the effective value of a key. Its JSON is that of config show.
type Setting struct {
	Key    *Key   `json:"-"`
	App    string `json:"-"`      // "": of the top level
	Value  any    `json:"value"`  // durations are text, sizes numbers of bytes
	Origin Origin `json:"origin"` // of an extended value the file that says it

	literal string
}

// Settings are the values of the top level, or of an app.
func (c *Config) Settings(app string) []Setting {
	var all []Setting
	for i := range keys {
		k := &keys[i]
		if k.at == nil || k.App != (app != "") {
			continue
		}
		v := deref(k.at(c, c.App(app)))
		s := Setting{Key: k, App: app, Value: v, Origin: c.Origin(app, k.Name), literal: literal(v)}
		if d, ok := v.(time.Duration); ok {
			s.Value = d.String()
		}
		all = append(all, s)
	}
	return all
}

// literal is a value as TOML.
func literal(v any) string {
	switch v := v.(type) {
	case string:
		return quote(v)
	case time.Duration:
		return quote(v.String())
	case Size:
		if text := v.String(); text[len(text)-1] > '9' {
			return quote(text)
		}
		return fmt.Sprint(int64(v))
	case []string:
		words := make([]string, len(v))
		for i, s := range v {
			words[i] = quote(s)
		}
		return "[" + strings.Join(words, ", ") + "]"
	case map[string]string:
		var words []string
		for _, name := range slices.Sorted(maps.Keys(v)) {
			words = append(words, toml.Key{name}.String()+" = "+quote(v[name]))
		}
		return "{" + strings.Join(words, ", ") + "}"
	}
	return fmt.Sprint(v)
}

// quote is a basic string of TOML 1.0. JSON's has the same escapes, but for DEL,
// which TOML wants escaped.
func quote(s string) string {
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(s) // text always can be
	return strings.ReplaceAll(strings.TrimSuffix(b.String(), "\n"), "\x7f", `\u007f`)
}

// isUnset says of a value that a file cannot say: that there is none.
func isUnset(s Setting) bool {
	switch v := s.Value.(type) {
	case string:
		return v == ""
	case []string:
		return v == nil
	case map[string]string:
		return v == nil
	}
	return false
}

// Show writes the effective values as TOML, each with its origin behind it. It
// can be loaded again; what is not set is a comment.
func (c *Config) Show(w io.Writer) error {
	var b strings.Builder
	section := func(header, app, prefix string) {
		var lines, from []string
		width := 0
		for _, s := range c.Settings(app) {
			name, ok := strings.CutPrefix(s.Key.Name, prefix)
			if !ok || strings.Contains(name, ".") {
				continue
			}
			line := name + " = " + s.literal
			if isUnset(s) {
				line = "# " + name + " is not set"
			}
			lines, from = append(lines, line), append(from, s.Origin.String())
			if len(line) <= 60 {
				width = max(width, len(line))
			}
		}
		b.WriteString(header)
		for i, line := range lines {
			fmt.Fprintf(&b, "%-*s  # %s\n", width, line, from[i])
		}
	}
	section("", "", "")
	for i := range c.Apps {
		name := c.Apps[i].Name
		table := toml.Key{"app", name}.String()
		section("\n["+table+"]\n", name, "")
		section("\n["+table+".log]\n", name, "log.")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// MarshalJSON is what config show prints with --json.
func (c *Config) MarshalJSON() ([]byte, error) {
	values := func(app string) map[string]Setting {
		m := make(map[string]Setting)
		for _, s := range c.Settings(app) {
			m[s.Key.Name] = s
		}
		return m
	}
	type appJSON struct {
		Name string             `json:"name"`
		Keys map[string]Setting `json:"keys"`
	}
	apps := make([]appJSON, len(c.Apps))
	for i := range c.Apps {
		apps[i] = appJSON{c.Apps[i].Name, values(c.Apps[i].Name)}
	}
	return json.Marshal(struct {
		Files []string           `json:"files"`
		Keys  map[string]Setting `json:"keys"`
		Apps  []appJSON          `json:"apps"`
	}{c.Files, values(""), apps})
}
