//go:build !race && !loopcheck

package main

// scriptLoops are how many loops the scripts' daemons have.
var scriptLoops = []string{"1", "3"}
