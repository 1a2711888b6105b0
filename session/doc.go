// Package session carries many conversations on one channel.
//
// A channel is one unix or TCP connection (package loop) or an in-memory pipe
// (package sessiontest). On it frames of one dialect travel both ways. Three
// layers stand on each other:
//
//   - [Channel] turns bytes into whole, typed messages: invoke, chunk, choke,
//     error, heartbeat, terminate. It knows the shapes of both dialects and
//     which id opens a session, and keeps no session. It is the low-level face
//     for programs that want nothing else.
//   - [Mux] keeps the table of sessions of one channel: opens them, dispatches
//     what arrives, ends them, and holds the rules in which the dialects
//     differ (ids, error with or without choke, extensions).
//   - [Session] is one conversation: an event, headers and two streams of
//     chunks, each ended in order (choke) or abruptly (error).
//
// A session is used in one of two ways. On the loop: give it a [Handler], and
// its callbacks run on the loop's goroutine with borrowed slices and no copy.
// Off the loop: the blocking methods Recv, Read, Write and Finish, with
// deadlines and a context, for one reading and one writing goroutine.
//
// # Calls
//
// A channel with ChannelOptions.Service carries calls of a service's methods
// (PROTOCOL 2.2, 3.1). The side that dialled opens them: OpenOptions.Method
// says what, and each direction moves along its [Table]. What comes is a
// message of kind Said, with its id and its whole array of arguments; in v0,
// whose services answer with chunks, a Chunk, and with OpenOptions.Chunks so is
// each write of v1. Say, Write, Close and Abort are
// our direction's. The two directions are independent, so whoever opened a
// call ends his own, too. A peer that says what the tables do not have loses
// a v1 channel; in v0 that is dropped and counted.
//
// # Whose bytes
//
// Slices given to callbacks are borrowed: valid until the callback returns.
// What Recv returns is borrowed until the next Recv or Read of that session.
// What is given to Write and its kin is copied before they return.
//
// # Bounds
//
// Everything that waits is bounded in bytes: a stream by its window (between
// Heddle ends) or by Options.Buffer (toward peers that have no windows), a
// channel's sessions by Options.MaxSessions, a channel's outbox by its link.
// A session that runs over its bound ends with an error; its neighbours and
// the channel live on.
//
// # Locks
//
// A Session's mu and its Mux's mu are never held together. Under either, only
// the link's own lock may be taken.
package session
