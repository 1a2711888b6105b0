package heddle

//go:generate go tool msgp -o msgp_gen.go -io=false -tests=false -file messages.go
//go:generate chmod 644 msgp_gen.go

// A tuple tagged vartuple reads fewer elements than it has fields and skips what follows them; what it
// does not find it leaves as it was. So a struct that is decoded into twice needs Reset in between
// (reset.go); codec.DecodeArgs does both.
//
//msgp:tuple FrameV0 Header
//msgp:vartuple FrameV1 Handshake Terminate Invoke Chunk ErrorV0 ErrorCode ErrorV1 Empty
//msgp:vartuple Window Files Drain Resume Reason Welcome
//msgp:vartuple RequestHead RequestExtra TLSInfo ResponseHead Info Trailers

// FrameV0 is a whole frame of dialect v0.
//
// array(3): type uint, session uint, args array
type FrameV0 struct {
	Type    uint64
	Session uint64
	Args    Value
}

// FrameV1 is a whole frame of dialect v1. Frames of the extensions have the same shape.
//
// array(3 or 4; more are ignored): channel uint, id uint, args array, headers array (optional)
type FrameV1 struct {
	Channel uint64
	ID      uint64
	Args    Value
	Headers Value // nil when absent
}

// Handshake is a worker's first message. Only Heddle workers add the offer.
//
// array(1): uuid raw; between Heddle ends array(2): uuid raw, offer map
type Handshake struct {
	UUID  Raw
	Offer Offer
}

// Offer is what a dialling Heddle end can do, and who it is.
//
// map: features array of raw, version raw, channel uint, frame uint, pid uint, name raw, kind raw
type Offer struct {
	Features []Raw  `msg:"features,limit=64"`
	Version  Raw    `msg:"version"`
	Channel  uint64 `msg:"channel"` // which of the engine's endpoints this connection is, from 0
	Frame    uint64 `msg:"frame"`   // bytes, header included: the largest frame this end accepts
	PID      uint64 `msg:"pid"`
	Name     Raw    `msg:"name"` // ipc: who asks
	Kind     Raw    `msg:"kind"` // ipc: what it is
}

// Terminate ends a worker, asked for by either side.
//
// array(2): code int, reason raw
type Terminate struct {
	Code   int64
	Reason Raw
}

// Invoke opens a session on a worker. Window is the upload credit that the opener wants to start with;
// -1 stands for absent, which means the agreed one. Reset sets it, a plain zero value does not.
//
// array(1): event raw; between Heddle ends also array(2): event raw, window uint
type Invoke struct {
	Event  Raw
	Window int64 // bytes; -1 when absent
}

// Chunk is a piece of a stream.
//
// array(1): data raw
type Chunk struct {
	Data Raw
}

// ErrorV0 is the abrupt end of a v0 stream; choke follows it.
//
// array(2): code int, reason raw
type ErrorV0 struct {
	Code   int64
	Reason Raw
}

// ErrorCode names an error of dialect v1 (Category… and Code…).
//
// array(2): category int, code int
type ErrorCode struct {
	Category int64
	Code     int64
}

// ErrorV1 is the abrupt end of a v1 stream, and the argument list of cancel.
//
// array(2): code array(2), reason raw (may be absent)
type ErrorV1 struct {
	Code   ErrorCode
	Reason Raw
}

// Empty is the argument list of heartbeat, choke, online, suspend and gone.
//
// array(0)
type Empty struct{}

// Window gives the sender of the other direction credit.
//
// array(1): bytes uint
type Window struct {
	Bytes uint64
}

// Files announces that descriptors came with this frame's bytes.
//
// array(1): count uint, 1 to 16
type Files struct {
	Count uint64
}

// Drain tells a worker that this channel brings no new session.
//
// array(1): deadline uint
type Drain struct {
	Deadline uint64 // milliseconds from now
}

// Resume releases the work that a worker holds back. Index is the place that a standby is promoted to; -1
// stands for absent. Reset sets it, a plain zero value does not.
//
// array(0); or array(1): index uint
type Resume struct {
	Index int64 // which of the app's workers this is from now on, from 0; -1 when absent
}

// Reason is the argument list of broken and leaving.
//
// array(1): reason raw
type Reason struct {
	Reason Raw
}

// Welcome is the engine's answer to a handshake that carried an offer.
//
// array(1): welcome map
type Welcome struct {
	Welcome WelcomeInfo
}

// WelcomeInfo is what both ends have agreed.
//
// map: features array of raw, frame uint, head uint, sessions uint, window uint, endpoints array of raw,
// index uint, release raw, suspended bool
type WelcomeInfo struct {
	Features  []Raw  `msg:"features,limit=64"`
	Frame     uint64 `msg:"frame"`    // bytes, header included: the largest frame the engine accepts
	Head      uint64 `msg:"head"`     // bytes: the largest first chunk, info or trailers
	Sessions  uint64 `msg:"sessions"` // open at once, per side
	Window    uint64 `msg:"window"`   // bytes of initial credit per stream
	Endpoints []Raw  `msg:"endpoints,limit=256"`
	Index     uint64 `msg:"index"` // which of the app's workers this is, from 0
	Release   Raw    `msg:"release"`
	Suspended bool   `msg:"suspended"`
}

// Header is one name and value of an HTTP head.
//
// array(2): name raw, value raw
type Header struct {
	Name  Raw
	Value Raw
}

// RequestHead is an HTTP request as it travels in the first chunk of a session. Toward plain Cocaine
// peers it has five elements and Body holds the whole body; between Heddle ends Body is empty, the body
// streams in later chunks, and Extra follows.
//
// array(5): method raw, uri raw, version raw, headers array of [name, value], body raw; or array(6): …, extra array
type RequestHead struct {
	Method  Raw
	URI     Raw
	Version Raw      // "1.1"; old proxies say "HTTP/1.1"
	Headers []Header `msg:",limit=1024"`
	Body    Raw
	Extra   RequestExtra
}

// RequestExtra is what net/http knows of a request beyond the five elements. Elements may be missing
// from the end; Reset gives the values that then count. With an empty remote the request is one of
// five elements that was relayed, whose body follows: its answer is plain.
//
// array(11): remote raw, local raw, request id raw, content length int, tls array, deadline int, upgrade raw,
// host raw, transfer encoding array of raw, trailer array of raw, close bool
type RequestExtra struct {
	RemoteAddr       Raw
	LocalAddr        Raw
	RequestID        Raw
	ContentLength    int64 // bytes; -1 when unknown
	TLS              TLSInfo
	Deadline         int64 // unix milliseconds; 0 for none
	Upgrade          Raw
	Host             Raw
	TransferEncoding []Raw `msg:",limit=16"`
	Trailer          []Raw `msg:",limit=1024"` // names announced by the Trailer header
	Close            bool
}

// TLSInfo is what a handler may want to know of the client's TLS connection. Version is 0 without TLS.
//
// array(5): version uint, cipher suite uint, server name raw, protocol raw, peer subject raw
type TLSInfo struct {
	Version     uint64
	CipherSuite uint64
	ServerName  Raw
	Protocol    Raw // as negotiated by ALPN
	PeerSubject Raw
}

// ResponseHead is the first chunk of a response. Between Heddle ends Made says which of the headers the
// worker made, as an http.Server would have for its handler, and what it knows of the connection.
//
// array(2): code int, headers array of [name, value]; or array(3): …, made int
type ResponseHead struct {
	Code    int64
	Headers []Header `msg:",limit=1024"`
	Made    int64    // bits Made…
}

// Bits of ResponseHead.Made. Whoever stands where the server would writes the made fields behind the handler's.
const (
	MadeDate   = 1 << iota
	MadeLength // Content-Length: all of the body follows at once
	MadeType   // Content-Type, from the first bytes of the body, which follow
	MadeClose  // no field: the connection is of no use any more, for what is left of the request's body
)

// Info is a 1xx head that precedes the response.
//
// array(2): code int, headers array of [name, value]
type Info struct {
	Code    int64
	Headers []Header `msg:",limit=1024"`
}

// Trailers are the headers that follow a body.
//
// array(1): headers array of [name, value]
type Trailers struct {
	Headers []Header `msg:",limit=1024"`
}
