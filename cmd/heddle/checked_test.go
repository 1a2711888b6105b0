//go:build race || loopcheck

package main

// scriptLoops are how many loops the scripts' daemons have: three, since there is more to
// check between them.
var scriptLoops = []string{"3"}
