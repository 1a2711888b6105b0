package loop

import "github.com/panjf2000/gnet/v2/pkg/netpoll"

// An interest is what a descriptor is registered for.
//
// read and readWrite are level triggered. A connection that must not be read,
// because it is paused or at its end, cannot stay registered that way: a peer's
// leaving is reported whatever one asks for, again and again. It is registered for
// writing, edge triggered, which reports each change once: writable, half-closed
// (EPOLLRDHUP), gone (EPOLLHUP, EPOLLERR).
type interest uint8

const (
	interestNone      interest = iota // not registered
	interestRead                      // input
	interestReadWrite                 // input, and room for output
	interestWatch                     // edges only: room for output, and the peer's leaving
)

// interestOf tells what a connection should be registered for. reading: input may
// be taken now; blocked: output waits for room.
func interestOf(reading, blocked bool) interest {
	switch {
	case !reading:
		return interestWatch
	case blocked:
		return interestReadWrite
	default:
		return interestRead
	}
}

// registry is the part of netpoll.Poller that changes registrations.
type registry interface {
	AddRead(pa *netpoll.PollAttachment, edgeTriggered bool) error
	AddWrite(pa *netpoll.PollAttachment, edgeTriggered bool) error
	AddReadWrite(pa *netpoll.PollAttachment, edgeTriggered bool) error
	ModRead(pa *netpoll.PollAttachment, edgeTriggered bool) error
	ModReadWrite(pa *netpoll.PollAttachment, edgeTriggered bool) error
	Delete(fd int) error
}

// change moves a registration from one interest to another. The poller can modify
// to read and readWrite only; watch needs a fresh registration.
func change(r registry, pa *netpoll.PollAttachment, from, to interest) error {
	if from == to {
		return nil
	}
	if from != interestNone && (to == interestNone || to == interestWatch) {
		if err := r.Delete(pa.FD); err != nil || to == interestNone {
			return err
		}
		from = interestNone
	}
	switch {
	case to == interestWatch:
		return r.AddWrite(pa, true)
	case to == interestRead && from == interestNone:
		return r.AddRead(pa, false)
	case to == interestRead:
		return r.ModRead(pa, false)
	case from == interestNone:
		return r.AddReadWrite(pa, false)
	default:
		return r.ModReadWrite(pa, false)
	}
}
