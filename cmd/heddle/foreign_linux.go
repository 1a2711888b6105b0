package main

import "github.com/heddle-go/heddle/worker/engine"

// A foreignOpener is what the front's loops ask for workers that were written for
// Cocaine.
type foreignOpener struct {
	*engine.Engine
	event string
}

// Plain says how they are asked, and whether one on loop i can be.
func (o foreignOpener) Plain(i int) (event string, free bool) { return o.event, o.Free(i) }
