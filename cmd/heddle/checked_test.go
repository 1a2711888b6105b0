//go:build race || loopcheck

package main

// scriptLoops: where each script takes much longer, and they are played with one loop
// elsewhere, with three.
var scriptLoops = []string{"3"}
