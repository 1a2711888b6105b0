// Package jsonwire reads and writes the JSON messages of older systems on node, so that their clients and servers
// can be talked to. It is pure: bytes in, bytes out.
//
//	framing    a frame ends in  fields
//	SocketIPC  00 00            topic, message                            @crussell52/socket-ipc 0.4
//	NodeIPC    0c               type, data                                node-ipc 9
//	Lines      0a               type, data, id, requestId, errors, done   Nodesockd 2
//
// Reading is in two steps. [Scanner.Next] cuts the next frame off the front of a connection's bytes, however
// they arrive; [Framing.Decode] finds the fields of one frame. Both borrow. Writing is [Framing.Append], or
// [Framing.AppendValue] for a Go value.
//
// What these systems die of is an error here: frames that are empty or not JSON, null, scalars, arrays, objects
// without a name, names that are no text, bytes that are not UTF-8, and frames without an end. Such an error tells [ErrJSON]
// from [ErrShape] and has the frame; the frames behind it can be read on.
//
// What to know of the peers: a JavaScript number has 53 bits, so larger integers arrive there changed. Node-ipc 9 takes in what
// it received only when a read ends in the end of a frame, so frames are best written whole; and it takes a message whose
// type is connect, disconnect, error or the like for its own event of that name. Socket-ipc 0.4 dies of an empty frame.
package jsonwire
