// Package heddle is the wire: the messages that an engine, its workers and their peers say to each other,
// and the numbers in them. Nothing here moves; codec cuts frames, loop carries them, session keeps them apart.
//
// # Frames
//
// A channel is a unix or TCP connection. It carries msgpack arrays one after another, with nothing before
// or between them. Two dialects lay them out differently, and the first frame tells which one is spoken
// (codec.Detect):
//
//	v0  [type, session, args]               Cocaine 0.10 and 0.11
//	v1  [channel, id, args(, headers)]      Cocaine 0.12.1 and later; Heddle ends among themselves
//
// What v1 calls a channel is what we call a session everywhere else. Text and bytes are one type, [Raw], in
// the form that msgpack had in 2012; str8 and bin are read but never written.
//
// # A worker's life
//
//	worker                         engine
//	handshake [uuid]          ─▶           first frame of the channel
//	                          ◀─           welcome [map], only if the handshake had an offer
//	online []                 ─▶           Heddle only, once all channels are welcomed
//	heartbeat []              ─▶
//	                          ◀─           heartbeat [], at once
//	                          ◀─           invoke [event]          opens session n
//	                          ◀─           chunk [data] …, choke []
//	chunk [data] …, choke []  ─▶
//	                          ◀─           terminate [code, reason], or drain [deadline] between Heddle ends
//
// A session has two streams, one per direction, that end independently: by choke in order, by error abruptly.
// In v0 an error is followed by a choke; in v1 anything sent after the end kills the channel.
//
// # Messages
//
// The columns hold the number in the frame and the type that decodes the arguments. In v0 a number means
// the same on every session, and session 0 stands for the worker itself; in v1 that is channel 1.
//
//	message    v0  v1           arguments                    type
//	handshake  0   ch 1 id 0    uuid raw (, offer map)       Handshake
//	heartbeat  1   ch 1 id 0    none                         Empty
//	terminate  2   ch 1 id 1    code int, reason raw         Terminate
//	invoke     3   id 0, first  event raw (, window uint)    Invoke
//	chunk      4   id 0, later  data raw                     Chunk
//	error      5   id 1         v0: code int, reason raw     ErrorV0
//	                            v1: [category, code], raw    ErrorV1
//	choke      6   id 2         none                         Empty
//
// Heddle ends that have agreed on them also use, on channel 1:
//
//	welcome    16  engine ─▶ worker   info map       Welcome
//	online     17  worker ─▶ engine   none           Empty
//	broken     18  worker ─▶ engine   reason raw     Reason
//	suspend    19  engine ─▶ worker   none           Empty
//	resume     20  engine ─▶ worker   none           Empty
//	drain      21  engine ─▶ worker   deadline uint  Drain
//	leaving    22  worker ─▶ engine   reason raw     Reason
//
// and on a session:
//
//	window     16  both               bytes uint           Window
//	cancel     17  opener ─▶ server   [category, code], raw ErrorV1
//	files      18  both, unix only    count uint           Files
//	info       19  server ─▶ opener   code int, headers    Info
//	trailers   20  both               headers              Trailers
//	gone       21  opener ─▶ server   none                 Empty
//
// An HTTP request is a session whose first chunk is a [RequestHead]; the answer's first chunk is a
// [ResponseHead]. The bodies are the chunks behind them.
//
// # Decoding
//
// The types decode with generated code that borrows: every Raw points into the input. Optional fields that
// are absent keep their value, so a struct in use again is Reset before; codec.DecodeArgs does that.
//
// # Sources
//
// PROTOCOL and a number, in the comments of all packages, is a section of notes on what the real programs of Cocaine
// say to each other, 0.11 as v0 and 0.12.14 as v1, by which this was written. The notes are no part of the module:
// what a peer needs is here and in docs/protocol.md, and docs/peers.md says what was seen with the real programs.
package heddle
