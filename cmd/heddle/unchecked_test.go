//go:build !race && !loopcheck

package main

// scriptLoops are how many loops the scripts' daemons have: one here, and three where
// each line is checked (make race, make loopcheck), which CI runs, too.
var scriptLoops = []string{"1"}
