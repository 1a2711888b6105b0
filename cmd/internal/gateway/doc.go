// Package gateway is what heddle proxy puts behind the front: the apps that a
// Cocaine locator knows (PROTOCOL.md 4). It finds out which app and event a
// request is for, resolves the app, keeps connections to its service on each of
// the front's loops, and opens an enqueue for each request.
//
//	front, on a loop     Dispatch ─▶ route.OpenOn ─▶ app.open ─▶ conn.open
//	net/http             ServeHTTP ─▶ httpcompat.Proxy ─▶ asker.Open ─▶ the same, on a loop
//
// A connection never leaves its loop, and neither does what is known of an app
// there; only the answers of locators are shared.
package gateway
