//go:build race

package loop

const raceEnabled = true // sync.Pool then drops items at random
