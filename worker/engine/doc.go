// Package engine runs workers: it starts N processes of an executable, greets
// them, gives each session to the least loaded one, and replaces those that
// die.
//
// # What belongs to what
//
// An [Engine] has lanes, one per loop, each with a unix socket that workers
// dial; and slots, one per worker index. A slot's goroutine keeps its index
// served: it starts a child, and the next one when that serves no more. A
// child is one process from exec to reaping; its goroutine alone moves it
// through its states ([Lifecycle]). Loops, the engine and the kernel tell it
// facts, which it looks at when it is woken; nobody waits for it but those who
// start and end the engine.
//
// A worker has one channel on each lane. A lane's list of channels that may be
// given sessions is replaced whole when it changes, so choosing takes no lock.
//
// # How a worker ends
//
// In order: drain on every channel, at most DrainTimeout for its sessions; then
// terminate, ShutdownTimeout; then SIGTERM, KillDelay; then SIGKILL, both to
// its process group. A worker that answers no heartbeats or does not come
// online in time gets SIGTERM at once, and so does one that closed a channel
// and did not leave.
//
// Its death is noticed without reaping it, so that its number still names its
// process group, which is killed; only then is it waited for. Its sessions end
// when their channel does, after the answers that were still in the socket.
//
// # Locks
//
// A child's mu, a lane's mu and the engine's mu are never held together. The
// queue's mu may be held while a channel's Mux is asked to open a session.
package engine
