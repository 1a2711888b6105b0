package ipc

import (
	"bytes"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/codec"
	"github.com/heddle-go/heddle/session"
)

// MaxMessage is how many bytes a payload or a reply may have.
const MaxMessage = session.MaxHead

// window is the credit that a stream begins with: a chunk may cost half of it, and
// so may the largest message. With less, a message could wait for credit that the
// reader, having read less than half a window, does not owe yet.
const window = 2 * (MaxMessage + session.ChunkCost)

// maxSessions is how many requests one connection may have open.
const maxSessions = 1024

// featureFiles is the extension that passes descriptors.
const featureFiles = "files"

// needed are the extensions without which there is no ipc; offered are those
// that this end has.
var (
	needed  = []string{"window", "cancel"}
	offered = []string{"window", "cancel", "gone", featureFiles}
)

// limits of one frame: the largest message, its head, and some air.
func limits() codec.Limits { return codec.Limits{Frame: MaxMessage + 4<<10} }

// appendOffer encodes the client's handshake.
func appendOffer(dst []byte, kind, name string, pid int) []byte {
	return codec.AppendHandshake(dst, heddle.V1, "", &heddle.Offer{
		Features: raws(offered),
		Frame:    uint64(limits().Frame),
		PID:      uint64(pid),
		Name:     heddle.Raw(name),
		Kind:     heddle.Raw(kind),
	})
}

// appendWelcome encodes the server's answer to an offer with these features.
func appendWelcome(dst []byte, features []heddle.Raw) []byte {
	return codec.AppendWelcome(dst, &heddle.WelcomeInfo{
		Features: common(features),
		Frame:    uint64(limits().Frame),
		Head:     MaxMessage,
		Sessions: maxSessions,
		Window:   window,
	})
}

// common is what we offer of features.
func common(features []heddle.Raw) []heddle.Raw {
	var both []heddle.Raw
	for _, o := range offered {
		if has(features, o) {
			both = append(both, heddle.Raw(o))
		}
	}
	return both
}

// enough says whether features hold all that ipc needs.
func enough(features []heddle.Raw) bool {
	for _, n := range needed {
		if !has(features, n) {
			return false
		}
	}
	return true
}

func has(features []heddle.Raw, name string) bool {
	for _, f := range features {
		if bytes.Equal(f, []byte(name)) {
			return true
		}
	}
	return false
}

func raws(names []string) []heddle.Raw {
	rs := make([]heddle.Raw, len(names))
	for i, n := range names {
		rs[i] = heddle.Raw(n)
	}
	return rs
}
