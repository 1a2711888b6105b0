// Package upstream asks workers for answers in plain HTTP: programs that are not
// changed for Heddle, in any language. Its [Proxy] is an http.Handler that stands
// behind the front, where httpcompat.Proxy stands for workers with sessions.
//
// A request goes to one worker over HTTP/1.1, as it came: target, Host, fields and
// body, but for the fields that concern one connection only (RFC 9110 7.6.1). The
// answer comes back the same way, 1xx heads and trailers included, and every piece
// of it leaves at once. An upgrade that the worker agrees to makes the connection
// the worker's.
//
// # Connections to a worker
//
// GET, HEAD, OPTIONS and TRACE without a body share connections that are kept for
// a second; one that the worker has closed meanwhile is replaced, and the request
// sent again, as RFC 9110 9.2.2 allows it for these. Every other request has a
// connection of its own: one that is kept may be closed by the worker, whose
// patience we do not know (node: 5 s, gunicorn: 2 s), at the moment that a request is
// written to it, and nobody could tell then whether it was seen.
//
// A request for which no connection to its worker could be made is asked of
// another; any other is asked once. What has reached a worker is its to answer: 502
// if it does not, 504 if the head takes too long.
//
// A client that goes away and one that half-closes look the same at first. Behind
// its request the connection to the worker is half-closed, too, which is what the
// worker would see without us, and what it answers is passed on until the client's
// end does not take it. By HTTP/2 a client says that it does not want an answer:
// then the connection to the worker is closed.
package upstream
