// Package front is where clients arrive: listeners, their limits, and what a
// proxy says of a request before anybody answers it.
//
// [Options] say what is wanted and know no server: addresses, TLS files, limits,
// trusted proxies. [Open] takes the addresses and returns a [Server], which is
// net/http's and speaks HTTP/1.0, HTTP/1.1 and HTTP/2, over TLS and, to those who
// begin with its preface (RFC 9113 3.3), in clear.
//
// # What it adds to a request
//
//   - X-Request-Id: the client's, if it has 1 to 128 bytes of letters, digits and
//     "-._~:/+=@"; else 32 hexadecimal digits made here. Answers that Heddle gives
//     by itself name it. Those of the handler do not, unless the handler sets it.
//   - X-Forwarded-For, X-Forwarded-Proto, X-Forwarded-Host and Forwarded
//     (RFC 7239): the address that the request came from, "http" or "https", and
//     the host it asked for. What a client says in these fields is removed, unless
//     its address is trusted: then X-Forwarded-For and Forwarded are extended, and
//     the other two are left as they came. A Forwarded that a trusted proxy did not
//     write is made from its X-Forwarded-For.
//
// A trusted proxy must itself remove or extend each of the four fields: one that
// writes X-Forwarded-For and passes on a Forwarded of its client is believed in
// both.
//
// RemoteAddr stays the peer's, as net/http has it: of the connection, or what a
// PROXY protocol header said. The fields tell the rest.
//
// # What it counts and logs
//
// A client that goes away, or half-closes, before its answer has ended is logged
// as 499 with the request's id, method, URI and duration.
package front
