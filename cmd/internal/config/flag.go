package config

import (
	"fmt"
	"os"
	"time"
)

// SetFlag gives a key the value that a flag has: text as the flag prints it, or
// the list of a repeatable one. Flags go before files. A flag that is no key is
// an error, as is a value that a file could not have. Relative paths are taken
// from the current directory.
func (c *Config) SetFlag(app, name string, list []string) error {
	k := findKey(name, app != "")
	a := c.App(app)
	if k == nil || k.at == nil || k.App && a == nil {
		return fmt.Errorf("config: %s is no key", name)
	}
	p := k.at(c, a)
	var value any
	switch p.(type) {
	case *[]string:
		texts := make([]any, len(list))
		for i, s := range list {
			texts[i] = s
		}
		value = texts
	default:
		if len(list) != 1 {
			return fmt.Errorf("config: %s takes one value; got %q", name, list)
		}
		value = list[0]
		switch p.(type) {
		case *bool:
			value = list[0] == "true"
		case *string, *time.Duration:
		default:
			var n Size // digits, and a unit where the flag takes one
			if err := n.Set(list[0]); err != nil {
				return err
			}
			value = int64(n)
		}
	}
	dir, err := os.Getwd()
	if err != nil {
		return fmt.Errorf("config: %w", err)
	}
	if err := k.take(k.at(new(Config), new(App)), value, dir); err != nil { // a refused one changes nothing
		return fmt.Errorf("--%s: %w", name, err)
	}
	if err := k.take(p, value, dir); err != nil {
		return fmt.Errorf("--%s: %w", name, err)
	}
	c.origins[place{app, name}] = Origin{From: FromFlag, Flag: name}
	c.inherit()
	return nil
}

// FlagText is a value of Settings as the flag of its name takes it; of a list
// each element by itself.
func (s Setting) FlagText() []string {
	switch v := s.Value.(type) {
	case []string:
		return v
	case Size:
		return []string{v.String()}
	}
	return []string{fmt.Sprint(s.Value)}
}
