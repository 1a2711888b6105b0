// Package bench puts load on a server of HTTP, or an app of sessions, and says what became of it: how
// long answers took counted from when their requests should have left, which were
// lost, which came twice, late or out of order, and whether the generator itself
// was in the way.
//
//	Pace.Due ─▶ driver.pump ─▶ client.send ─▶ (*loop.Conn).Send
//	loop ─▶ client.OnBytes ─▶ answer.head, answer.body ─▶ driver.answered ─▶ recorder
//
// A run is one goroutine, that of its loop: nothing on the way of a request is
// locked or allocated. With several threads it is several such, each with a driver and
// its share of the connections and of the schedule, and a crew that has them begin
// together and makes one report of theirs. So it is with sessions, too, where a caller's
// connections take the place of the bytes of HTTP/1.1; TLS and HTTP/2 are net/http's
// client's, on goroutines that tell the loop of their answers.
//
// # Models
//
// In the closed model each of a number of connections sends its next request when
// the answer to the one before has come. A server that stalls is then asked less
// while it does, so that the stall counts as a few slow answers only: this is
// coordinated omission, and a report of the closed model says so. In the open model
// requests leave when a Pace says, whatever became of those before, and a latency
// counts from then; one that finds no free connection waits, and its waiting is part
// of its latency.
//
// # What is counted
//
// Each request that was sent is exactly one of these, once the run has ended:
// answered, answered late (after its time-out), lost, or unfinished (only if the
// run was cut short). Answers to nothing that is outstanding are counted apart:
// duplicated if that request had been answered, stray otherwise. Which request an
// answer is for its request id tells, if the server gives it back, and its place on
// the connection if not. Nothing is ever sent again.
package bench
