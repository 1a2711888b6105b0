// Package httpcompat puts net/http on sessions, both ways.
//
// [Handler] makes a worker.Handler of an http.Handler: each session is one
// request, its first chunk the request's head, the rest its body, and what the
// http.Handler writes travels back. [Proxy] is the other end, an http.Handler
// that asks: it opens a session for each request and copies what comes back to
// its client. Both agree on the heads, which are root messages; head.go alone
// turns them into net/http and back.
//
// Programs call [ListenAndServe], or [Serve] with an http.Server of their own,
// in place of net/http's: started by an engine they answer sessions, started
// by hand they are plain net/http servers.
//
// # What differs from net/http alone
//
// docs/fidelity.md has the whole list, which tests hold to the facts, and
// docs/front.md what heddle run's front adds to a request. Of some weight are:
//
//   - A hijacked connection is the session's bytes: a net.Conn that can be
//     half-closed (CloseWrite) and is no *net.TCPConn. Under HTTP/2, and under
//     real Cocaine runtimes, Hijack fails.
//   - A handler may read the body while it writes the response, whether it has
//     called EnableFullDuplex or not.
//   - A head has at most 1,024 fields and 1 MiB: a request over either is answered
//     with 431, a response over either is a 502 or a broken connection, and a line
//     in the asking side's log.
//   - A MaxBytesReader that was exceeded does not close the client's connection.
//   - A worker that dies before it has sent a head is a 502. A handler that
//     panics breaks the client's connection, as ever.
//   - A client's certificate is known by its subject alone, and only if the
//     front has verified it.
package httpcompat
