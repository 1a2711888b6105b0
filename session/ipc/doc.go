// Package ipc carries messages and requests between processes of one user on one
// machine, over a unix socket.
//
// A [Hub] has the handlers, by namespace and topic, and knows the other ends, each a
// [Peer]: to it go messages (Post, and Send with an acknowledgement) and requests
// with streams of replies, with descriptors if need be. A [Server] with a Hub and a
// [Client] give it peers on sockets; a [Connector] is a client that connects again;
// Hub.Attach takes any session.Mux. A hub with a [Router] sends on what one peer has for
// others (Peer.SendTo and RequestTo). docs/messaging.md says how to use it,
// docs/ipc.md what is on the wire.
//
// Beside that a [Server] answers bare topics with [Server.Handle], which
// [Client.Request] asks: the daemon's own words, which nothing that goes through a
// hub can reach.
//
// # On the wire
//
// A channel speaks v1 frames with the extensions of PROTOCOL 9. The client
// sends the handshake with its offer on channel 1 (kind and name say who asks);
// the server answers welcome, and from then on each request is a session: its
// event is the topic, its first chunk the payload, the chunks that come back
// are the replies, choke is their end and error their abrupt one. A message is
// at most [MaxMessage] bytes long.
//
//	client                                  server
//	[1,0,["",{kind,name,features…}]]   →
//	                                   ←    [1,16,[{features,frame,window…}]]
//	[3,0,["status"]] [3,0,[""]] [3,2,[]] →
//	                                   ←    [3,0,["{…}"]] [3,2,[]]
//
// Descriptors go before the payload, in a files message between the event and
// the first chunk.
//
// A connection whose first byte is '{' is not a frame (PROTOCOL 1: frames are
// msgpack arrays): it speaks lines of JSON, with [Options].Lines, or is answered by
// one that says that nobody does here. With [Options].Framing all clients speak
// the JSON of an older system.
//
// # Who may ask
//
// The socket's mode is 0600, and the kernel's word (SO_PEERCRED) that the peer
// runs as the same user is asked for besides. Strangers, malformed frames and
// clients that do not greet in time lose their connection, with a logged error;
// nobody else notices.
package ipc
