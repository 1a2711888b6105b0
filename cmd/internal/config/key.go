package config

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A Key is one key of heddle.toml.
type Key struct {
	Name    string // "log.stdout" is stdout in [app.NAME.log]
	App     bool   // of [app.NAME]; else of the top level
	Type    Type
	Default string // as docs/configuration.md says it
	When    When   // a change takes effect
	Means   string // one line, for people

	def      any       // what Default means; nil: the zero value
	empty    bool      // of a List: [] is not the same as nothing
	min, max int64     // of a Number, in its unit; of a Duration in nanoseconds, of a Size in bytes
	at       field     // where its value is kept
	check    checkFunc // beyond type and bounds; may be nil
	resolve  func(dir, value string) string
}

// A field points at the value of a key: in c, or for a key of an app in a.
type field func(c *Config, a *App) any

type checkFunc func(v any) error

// Type is what a key's value is.
type Type string

// The types of values.
const (
	Text     Type = "text"
	Path     Type = "path" // relative to the directory of the file that is loaded
	List     Type = "list of texts"
	Bool     Type = "true or false"
	Number   Type = "number"
	Duration Type = "duration" // text, as Go writes them
	Bytes    Type = "size"     // number of bytes, or text with a unit
	Table    Type = "table of texts"
)

// examples are what a value of the type looks like.
var examples = map[Type]string{
	Text: `"text"`, Path: `"a/file"`, List: `["a", "b"]`, Bool: "true", Number: "4", Duration: `"30s"`, Bytes: `"512Mi"`, Table: `{NAME = "value"}`,
}

// one is a value of the type, in a sentence.
func (t Type) one() string {
	if t == Bool {
		return string(t)
	}
	return "a " + string(t)
}

// path is how errors and config show name a key.
func (k *Key) path(app string) string {
	if k.App {
		return "app." + app + "." + k.Name
	}
	return k.Name
}

// take puts a value of the file where p points, made absolute below dir, and
// refuses what cannot be meant.
func (k *Key) take(p, value any, dir string) error {
	if err := k.convert(p, value); err != nil {
		return err
	}
	if err := k.bounds(p); err != nil {
		return err
	}
	if k.resolve != nil {
		switch p := p.(type) {
		case *string:
			if *p != "" {
				*p = k.resolve(dir, *p)
			}
		case *[]string:
			for i, s := range *p {
				(*p)[i] = k.resolve(dir, s)
			}
		}
	}
	if k.check == nil {
		return nil
	}
	return k.check(deref(p))
}

// convert takes a value as package toml decodes it.
func (k *Key) convert(p, value any) error {
	switch p := p.(type) {
	case *string:
		if s, ok := value.(string); ok {
			*p = s
			return noNUL(s)
		}
	case *bool:
		if b, ok := value.(bool); ok {
			*p = b
			return nil
		}
	case *[]string:
		list, ok := value.([]any)
		if !ok {
			break
		}
		texts := make([]string, len(list))
		for i, v := range list {
			s, ok := v.(string)
			if !ok {
				return fmt.Errorf("element %d is %s; want a %s, such as %s", i+1, kind(v), k.Type, examples[k.Type])
			}
			if err := noNUL(s); err != nil {
				return err
			}
			texts[i] = s
		}
		if *p = texts; len(texts) == 0 && !k.empty {
			*p = nil
		}
		return nil
	case *map[string]string:
		table, ok := value.(map[string]any)
		if !ok {
			break
		}
		texts := make(map[string]string, len(table))
		for name, v := range table {
			s, ok := v.(string)
			if !ok {
				return fmt.Errorf("%s is %s; want text in quotes", name, kind(v))
			}
			if err := noNUL(s); err != nil {
				return err
			}
			texts[name] = s
		}
		if *p = texts; len(texts) == 0 {
			*p = nil
		}
		return nil
	case *time.Duration:
		s, ok := value.(string)
		if !ok {
			if _, number := value.(int64); number {
				return fmt.Errorf("%v has no unit; want a duration, such as %s", value, examples[Duration])
			}
			break
		}
		d, err := time.ParseDuration(s)
		if err != nil {
			return fmt.Errorf("%q is no duration; want numbers with the units ms, s, m or h, such as %s", s, examples[Duration])
		}
		if d == 0 && strings.ContainsAny(s, "123456789") {
			return fmt.Errorf("%q is less than a nanosecond", s)
		}
		*p = d
		return nil
	case *int:
		return k.number(value, func(n int64) bool { *p = int(n); return int64(*p) == n })
	case *int64:
		return k.number(value, func(n int64) bool { *p = n; return true })
	case *uint64:
		return k.number(value, func(n int64) bool { *p = uint64(max(n, 0)); return n >= 0 })
	case *Size:
		return k.number(value, func(n int64) bool { *p = Size(n); return true })
	}
	return fmt.Errorf("got %s; want %s, such as %s", kind(value), k.Type.one(), examples[k.Type])
}

// number takes a whole number, or text with a unit where a size is wanted.
func (k *Key) number(value any, set func(int64) bool) error {
	n, ok := value.(int64)
	if s, text := value.(string); text && k.Type == Bytes {
		var size Size
		if err := size.Set(s); err != nil {
			return err
		}
		n, ok = int64(size), true
	}
	switch {
	case !ok:
		return fmt.Errorf("got %s; want %s, such as %s", kind(value), k.Type.one(), examples[k.Type])
	case !set(n):
		return fmt.Errorf("%d: %s", n, k.range_())
	}
	return nil
}

// bounds holds a number against the key's.
func (k *Key) bounds(p any) error {
	var n int64
	switch p := p.(type) {
	case *time.Duration:
		n = int64(*p)
		if n < k.min || n > k.max {
			return fmt.Errorf("%v: %s", *p, k.range_())
		}
		return nil
	case *int:
		n = int64(*p)
	case *int64:
		n = *p
	case *uint64:
		n = int64(min(*p, math.MaxInt64))
	case *Size:
		n = int64(*p)
	default:
		return nil
	}
	if n < k.min || n > k.max {
		return fmt.Errorf("%d: %s", n, k.range_())
	}
	return nil
}

// range_ says what numbers a key takes.
func (k *Key) range_() string {
	switch {
	case k.Type == Duration && k.min == 0:
		return "want a duration such as " + examples[Duration] + `, or "0s"`
	case k.Type == Duration && k.min == 1:
		return "want a duration above zero, such as " + examples[Duration]
	case k.Type == Duration:
		return fmt.Sprintf("want at least %v", time.Duration(k.min))
	case k.max == math.MaxInt64:
		return fmt.Sprintf("want a number from %d", k.min)
	}
	return fmt.Sprintf("want a number from %d to %d", k.min, k.max)
}

// kind says what a value of a file is.
func kind(v any) string {
	switch v := v.(type) {
	case string:
		return "the text " + strconv.Quote(v)
	case bool:
		return strconv.FormatBool(v)
	case int64:
		return "the number " + strconv.FormatInt(v, 10)
	case float64:
		return "the number " + strconv.FormatFloat(v, 'g', -1, 64)
	case map[string]any:
		return "a table"
	case []any:
		return "a list"
	case []map[string]any:
		return "a list of tables"
	}
	return "a date or time"
}

// deref is what p points at.
func deref(p any) any {
	switch p := p.(type) {
	case *string:
		return *p
	case *bool:
		return *p
	case *[]string:
		return *p
	case *map[string]string:
		return *p
	case *time.Duration:
		return *p
	case *int:
		return *p
	case *int64:
		return *p
	case *uint64:
		return *p
	case *Size:
		return *p
	}
	panic(fmt.Sprintf("config: a key of type %T", p))
}

// assign is *p = v.
func assign(p, v any) {
	switch p := p.(type) {
	case *string:
		*p = v.(string)
	case *bool:
		*p = v.(bool)
	case *[]string:
		*p = slices.Clone(v.([]string))
	case *time.Duration:
		*p = v.(time.Duration)
	case *int:
		*p = v.(int)
	case *int64:
		*p = v.(int64)
	case *Size:
		*p = v.(Size)
	default:
		panic(fmt.Sprintf("config: a default for %T", p))
	}
}

func noNUL(s string) error {
	if strings.ContainsRune(s, 0) {
		return errors.New("a zero byte is in it")
	}
	return nil
}

func itoa(n int) string { return strconv.Itoa(n) }
