//go:build !unix

package front

// MostClients is the default of Limits.MaxClients. 0: no limit is known.
func MostClients() int { return 0 }
