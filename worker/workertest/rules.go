package workertest

import "fmt"

// A Rule is what a worker must heed toward a real Cocaine runtime. Which frames
// break it, and whether the real one closes the connection over them, was read in
// its source and seen on the wire (PROTOCOL 1, 2.4, 3.1, 3.4, 7).
type Rule string

// The rules. Those without a word of the dialect hold in both.
const (
	RuleFrame        Rule = "frame"         // an array of three (v1: or more) elements: two integers from 0, an array of arguments
	RuleOldSpec      Rule = "old spec"      // no str8, no bin, no ext: runtimes with an older msgpack close the connection, and Node's peers fail
	RuleShortest     Rule = "shortest form" // integers and heads; some peers know a v0 type as one byte only
	RuleHandshake    Rule = "handshake"     // first, once, with the uuid of the launch, and in time
	RuleFirstBeat    Rule = "first beat"    // v0: right behind the handshake; the worker gets no work before it
	RuleHeartbeat    Rule = "heartbeat"     // within 30 s of the last one
	RuleMessage      Rule = "message"       // an id that the table of its session has
	RuleArguments    Rule = "arguments"     // of the types that the message has; v1: an error's first is [category, code]
	RuleSession      Rule = "session"       // one that the runtime has opened
	RuleEnded        Rule = "ended"         // nothing in a direction that has ended: v1 by close or error, v0 by choke; v0: behind an error only the choke
	RuleNoChoke      Rule = "no choke"      // v0: an error is followed by a choke, or the session stays open for ever
	RuleHeaders      Rule = "headers"       // v1: an array, whose indices are in the table
	RuleTerminate    Rule = "terminate"     // v1: is answered by terminate; both: the worker leaves in time
	RuleTerminated   Rule = "terminated"    // nothing behind the worker's own terminate
	RuleResponseHead Rule = "response head" // HTTP: the first chunk is [code, [[name, value]...]]
	RuleResponseBody Rule = "response body" // HTTP, v0: each chunk behind the head is a raw within the raw
)

// A Violation is a rule that the worker has broken.
type Violation struct {
	Rule  Rule
	Text  string // what was wrong
	Frame []byte // up to 64 bytes of it; nil if it was none
	Drops bool   // the real runtime closes the connection over it, and so did this one
}

func (v Violation) String() string {
	s := fmt.Sprintf("rule %q: %s", v.Rule, v.Text)
	if v.Frame != nil {
		s += fmt.Sprintf(" (frame % x)", v.Frame)
	}
	if v.Drops {
		s += "; the connection is closed over it"
	}
	return s
}
