// Package worker is the answering side: it lives inside the user's process,
// connects to the engine that started it, and gives each session the engine
// opens to a [Handler] by the name of its event.
//
// # A worker's life
//
// [Worker.Connect] dials the engine, shakes hands and says online, or leaves
// that word to the program ([Options.ManualOnline], [Worker.ReportOnline]). From
// then on the worker serves, and beats on every channel so that the engine knows
// it lives and it knows that the engine does. The engine may have it hold its
// work back for a time ([Worker.Suspended]), from its start on if it is a standby;
// and it may ask to be replaced ([Worker.ReportBroken]). It ends in one of these
// ways:
//
//   - drained: the engine announced that no new session comes, every session
//     has ended, and the worker leaves ([Worker.Shutdown], and SIGTERM under
//     [Worker.Run], ask the engine for just that);
//   - terminated: the engine said so, the worker finished what it had within
//     [Options.TerminateTimeout], or said so itself ([Worker.Terminate]);
//   - disowned: the engine has not answered a heartbeat in time;
//   - lost: a channel broke. The others end with it, since sessions of one
//     request never move;
//   - closed: [Worker.Close].
//
// Lifecycle returns the table of states and events.
//
// # How a process learns that it is a worker
//
// A Heddle engine says everything in HEDDLE_ variables of the environment, a
// Cocaine runtime in five flags. This package takes both away before main
// runs, so that the program's own flags, and its children, see neither; what
// they said is returned by [Launched]. That, and how this process stands with
// its engine, is the only package-level state.
//
// # What a program may ask and say
//
// [Suspended], [Resumed], [AwaitResume], [ManualOnline], [ReportOnline],
// [ReportBroken], [Draining] and [Index] are about the process's own worker, and
// need no hand on a Worker. They work from the first line of main on, and in a
// program that was started by hand, where nothing is held and nobody listens.
//
// # What processes say to each other
//
// [HandleMessage] and [HandleRequest] hear the engine's program and other workers,
// [Send], [Ask] and [Request] are for the one, [SendTo] and [RequestTo] for the others.
// Their sessions go to the hub of the Worker before any Handler, also before it is
// online and while it is suspended.
//
// # A program that serves HTTP by itself
//
// Under heddle run --http no session is a request, and nobody need know of this
// package. A program that uses one of those functions has attached by it
// ([Attach]): it has a channel to the engine like any worker's, which is no
// condition of its life.
//
// # Whose goroutine
//
// Frames are read on the loop. Each session's handler runs on a goroutine of
// its own, taken from parked ones. Callbacks of Options run one after the
// other on a goroutine that is neither.
package worker
