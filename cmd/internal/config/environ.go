package config

import (
	"slices"
	"strings"
)

// Environ is the environment of the app's workers, before the engine adds what
// is the engine's: of base, "KEY=value" as os.Environ has it, what env-allow
// lets through, and env over it, sorted by name.
func (a *App) Environ(base []string) []string {
	var env []string
	for _, kv := range base {
		name, _, _ := strings.Cut(kv, "=")
		if _, replaced := a.Env[name]; replaced || a.EnvAllow != nil && !slices.Contains(a.EnvAllow, name) {
			continue
		}
		env = append(env, kv)
	}
	var own []string
	for name, value := range a.Env {
		own = append(own, name+"="+value)
	}
	slices.Sort(own)
	return append(env, own...)
}
