package heddle

// A Dialect is one of the two frame layouts that Heddle speaks.
type Dialect uint8

const (
	V0 Dialect = iota // [type, session, args]: Cocaine 0.10 and 0.11
	V1                // [channel, id, args, headers]: Cocaine 0.12.1 and later, and Heddle itself
)

// String returns "v0" or "v1".
func (d Dialect) String() string {
	switch d {
	case V0:
		return "v0"
	case V1:
		return "v1"
	}
	return "unknown dialect"
}

// Message types of dialect v0 (PROTOCOL.md 2.1). The table is flat: a type means the same on every session.
const (
	TypeV0Handshake = 0
	TypeV0Heartbeat = 1
	TypeV0Terminate = 2
	TypeV0Invoke    = 3
	TypeV0Chunk     = 4
	TypeV0Error     = 5
	TypeV0Choke     = 6
)

// ControlChannel is where a v1 worker and its engine talk about the worker itself.
const ControlChannel = 1

// Message ids on ControlChannel (PROTOCOL.md 3.4). Id 0 is a handshake when it is the worker's first
// frame and a heartbeat ever after, in both directions.
const (
	MsgHandshake = 0
	MsgHeartbeat = 0
	MsgTerminate = 1
)

// Control methods of every v1 connection (PROTOCOL.md 3.1): each opens a channel of its own, and is answered
// there with a value. Nobody implements settings and goaway.
const (
	MethodRevoke   = 65535 // [channel, [category, code]]: the channel is over
	MethodSettings = 65534
	MethodPing     = 65533 // []
	MethodGoaway   = 65532
)

// Message ids on any other v1 channel (PROTOCOL.md 3.1, 3.4). Id 0 is an invoke when it opens the
// channel and a chunk afterwards.
const (
	MsgInvoke = 0
	MsgWrite  = 0
	MsgError  = 1
	MsgClose  = 2
)

// Heddle's own messages on ControlChannel (PROTOCOL.md 9).
const (
	CtlWelcome = 16
	CtlOnline  = 17
	CtlBroken  = 18
	CtlSuspend = 19
	CtlResume  = 20
	CtlDrain   = 21
	CtlLeaving = 22
)

// Heddle's own messages on a session (PROTOCOL.md 9).
const (
	ExtWindow   = 16
	ExtCancel   = 17
	ExtFiles    = 18
	ExtInfo     = 19
	ExtTrailers = 20
	ExtGone     = 21
)

// Error categories of dialect v1 (PROTOCOL.md 3.8).
const (
	CategorySystem    = 1 // errno
	CategoryAsio      = 2
	CategoryNetDB     = 3
	CategoryAddrInfo  = 4
	CategoryMisc      = 5
	CategoryTransport = 6
	CategoryDispatch  = 7
	CategoryRepo      = 8
	CategorySecurity  = 9
	CategoryLocator   = 10
	CategoryUnicorn   = 11
	CategoryGeneric   = 12 // errno too
	CategoryProtocol  = 13
	CategoryFramework = 42
	CategoryUser      = 43
	CategoryUnknown   = 255
	CategoryNode      = 0x51ff
	CategoryOverseer  = 0x52ff
	CategorySlave     = 0x53ff
)

// Codes of CategoryFramework (PROTOCOL.md 3.8).
const (
	CodeException = 100 // the handler panicked
	CodeNoHandler = 200 // nobody handles this event
)

// Codes of v0 errors (PROTOCOL.md 2.1). CodeV0NoHandler is the frameworks' addition.
const (
	CodeV0Invocation = 1
	CodeV0Resource   = 2
	CodeV0Timeout    = 3
	CodeV0Deadline   = 4
	CodeV0NoHandler  = -100
)

// Codes of CategoryOverseer and CategoryNode that callers react to (PROTOCOL.md 3.8).
const (
	CodeQueueFull    = 1 // CategoryOverseer
	CodePoolFull     = 2 // CategoryOverseer
	CodeNodeDeadline = 1 // CategoryNode
	CodeNodeResource = 2 // CategoryNode
	CodeNodeTimeout  = 3 // CategoryNode
)
