// Package engine runs workers: it starts N processes of an executable, greets
// them, gives each session to the least loaded one, and replaces those that
// die.
//
// # What belongs to what
//
// An [Engine] has lanes, one per loop, each with a unix socket that workers
// dial; and generations, each of which is the workers of one release. A
// generation has slots, one per worker index and one per standby. A slot's
// goroutine keeps it served: it starts a child, and the next one when that serves
// no more, asks to be replaced, or is to be. A child is one process from exec to
// reaping; its goroutine alone moves it through its states ([Lifecycle]). Loops,
// slots, operations and the kernel tell it facts, which it looks at when it is
// woken; nobody waits for it but those who start, change and end the engine.
//
// # What changes the workers
//
// [Engine.Deploy], Scale, Restart, Suspend and Resume are operations, one at a
// time. A deploy starts a generation beside the present one; it stands by until
// every worker of it is ready, then is given the work, and the old one is
// retired: its slots end, its children finish what they have. Whatever goes
// wrong before that retires the new one instead, and nobody has noticed.
//
// A standby is a child without an index that was told it is suspended. When a
// worker dies, is broken or is recycled, its slot takes the oldest standby that is
// ready, and the standby's slot starts another.
//
// A worker has one channel on each lane. A lane's list of channels that may be
// given sessions is replaced whole when it changes, so choosing takes no lock.
//
// # How a worker ends
//
// In order: drain on every channel, at most DrainTimeout for its sessions; then
// terminate, ShutdownTimeout; then SIGTERM, KillDelay; then SIGKILL, both to
// its process group. A second before that SIGQUIT goes to the worker, whose Go
// runtime writes all goroutines and exits; they are kept with its [Death]. A
// worker that answers no heartbeats or does not come online in time gets SIGQUIT
// first, then SIGTERM; one that closed a channel and did not leave gets SIGTERM at
// once.
//
// Its death is noticed without reaping it, so that its number still names its
// process group, which is killed; only then is it waited for. Its sessions end
// when their channel does, after the answers that were still in the socket.
//
// # Plain programs
//
// With [Options.HTTP] workers serve HTTP at an address instead of sessions on
// channels. Such a child is greeted and online when one of its doors answers; it
// drains until its leases, which [Engine.Acquire] gives, have
// been given back, and then gets SIGTERM, which is how it is told to leave. Its
// process is a guardian's child (package guard): the pid that leads the group is not the
// one that people see.
//
// One that attaches has a channel on the only lane besides, at any time and for as
// long as it likes. Only then it has to beat; if that is before it answers, it must
// say that it is online, too.
//
// # Workers that were written for Cocaine
//
// With [Options.Dialect] workers are programs that know nothing of Heddle: their
// arguments tell them who they are, and each has one channel, on the lane of its
// seat. Nothing is agreed there. To drain one is to choose it no more and to wait for its
// last session; then it gets terminate. Where the real runtimes forgive the engine
// does, and where they end the channel, too.
//
// # Messages
//
// Each child is a peer of the engine's hub ([Options.Hub], package ipc) from when it is
// adopted to its death. Its channel is the one of the first lane, once that is
// welcomed; before, what is sent to it waits. [Engine.SendTo] and [Engine.RequestTo]
// are for one worker, [Engine.Post] and [Engine.Request] for those that a selector
// names; what workers have for each other the engine sends on. None of it is load, and
// a drain waits for it a moment only. A plain program that attaches again is a new
// peer of the same id.
//
// # Other users
//
// A release can have a [User]. Its workers dial sockets of a gate, which are that
// user's, below [Options.UserDir]; whatever the engine itself reads, notes or dials
// stays in RuntimeDir, out of their reach. A channel belongs to the user of the
// socket it came by, and a worker takes channels of its own user only.
//
// # Locks
//
// In this order: a generation's, then the engine's or a slot's, then a child's. A
// lane's is held with no other of these. That of the leases comes before a child's. The queue's may be held while a channel's
// Mux is asked to open a session.
package engine
