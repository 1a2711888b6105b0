// Package guard is the process between an engine and a plain program: it sees to
// it that nothing the program has started outlives the program or the engine,
// whatever becomes of either.
//
// A program that links this package and is started as
//
//	NAME __exec guard FILES USER PATH ARG0 ARGS...
//
// is a guardian before its main begins, and never comes there: any program that
// has an engine can be its own guardian, by way of /proc/self/exe. FILES is how
// many descriptors the program gets from 3 on; the guardian has them from 4 on, and
// in 3 the leash, one end of a pair of stream sockets whose other end the engine
// has. USER is whom the program runs as, UID,GID,GROUP..., or - for the guardian's
// own user. The guardian itself stays the engine's: what it guards can neither end
// it nor become too strange for it to kill.
//
//	the guardian says    started PID\n      the program's process
//	                     ended STATUS\n     its wait status, wait(2), decimal; what it has
//	                                       started is killed next
//	the engine says      nothing; its end, or half of it, closes: kill everything
//
// The guardian leads the process group that the engine has made, and the program
// is in it: signals to the group reach the program directly, and the guardian lets
// them pass. It is the subreaper of all that the program starts (prctl(2)), so
// whoever loses its parent, in whatever session or group, becomes the guardian's
// child; when the program or the engine has ended it kills its children until
// there are none, at once and again as long as it finds new ones: some fork and end
// in turn. A child that was not waited for keeps its number, so that never a
// stranger is killed. If the guardian is killed, the kernel kills the program,
// but not what that has started beyond its group.
//
// The program's own process begins as
//
//	NAME __exec start PATH ARG0 ARGS...
//
// which sets LISTEN_PID to its number if there is LISTEN_FDS (sd_listen_fds(3)),
// and executes PATH.
package guard

// Verb is the first argument of a guardian.
const Verb = "__exec"

// What a guardian's second argument may be.
const (
	Guard = "guard"
	Start = "start"
)

// Descriptors of a guardian.
const (
	Leash     = 3
	FirstFile = 4 // of those for the program
)

// What it says on its leash.
const (
	Started = "started"
	Ended   = "ended"
)

// ExitNoProgram is the exit code of a program that could not be executed, as
// shells have it.
const ExitNoProgram = 127
