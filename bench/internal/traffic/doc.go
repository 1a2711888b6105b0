// Package traffic asks bench/lifecycle/app in eight ways at once, over sockets
// that never retry, and judges every answer.
//
// A request is one attempt: what does not get its whole, right answer is lost,
// for whatever reason, also when its connection could not be made. The one
// thing that is no loss is a kept connection that the server has closed before
// the first byte of the next request was sent. A stream (events, WebSocket) is
// well when it ended in order, be it early: by the event bye, or by the close
// frame.
//
// Every request has an id of its own, as X-Request-Id, and the app writes down
// in a file, the witness, which ones it has served. So those served twice are
// known, also when the client got one answer or none.
package traffic
