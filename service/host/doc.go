// Package host is the answering side of a small Cocaine cloud: it serves methods
// on sessions, to clients of runtime 0.11 (dialect v0) and 0.12 (v1) alike.
//
//	c, err := host.Start(host.Options{Locator: "127.0.0.1:10053", Loops: engine.Loops(), Storage: dir})
//	c.AddApp(host.App{Name: "shop", Opener: engine})
//	defer c.Close(ctx)
//
// A [Cloud] has a locator at one address for both dialects, which the first frame
// tells apart, and with it the services logging, storage, node and one for each
// app. Each of these listens at an address of its own per dialect, and the locator
// names the one of the dialect in which it was asked (PROTOCOL 1, 2.3, 3.3).
//
// # Strict and tolerant
//
// What the real runtimes punish is punished here: in dialect v1 an unknown method
// or arguments of the wrong kind end the connection, behind the answers that were
// given before; in v0 the caller gets error 1 and a choke, and nothing else
// happens.
//
// # What runs where
//
// A connection lives on one loop. Methods that only look something up run there.
// Those that wait for a disk run on a goroutine, one at a time for each
// connection and a few at a time for the whole cloud; their answers are in the
// order of the calls. An app's sessions are joined to the workers' on the loop of
// both.
//
// # What is counted
//
// [Cloud.Stats] has the calls of each method and how many of them failed, what the
// locator was asked for, and what there is of connections, publications and streams.
//
// # Bounds
//
// Connections, sessions of a connection, bytes of a frame, of an outbox, and of what
// waits for a worker are limited by Options. A client that sends half a frame, or
// takes nothing of what it was sent, for Options.Stall, is dropped.
package host
