package systemd

import (
	"fmt"
	"os"
	"strconv"
)

// A Socket is a listening stream socket that somebody else has made, keeps, and
// lends.
type Socket struct {
	Name string   // FileDescriptorName= of its unit, which several may have; "unknown" without
	FD   int      // as it was passed, from 3 on
	File *os.File // close-on-exec
}

// takeSockets takes what LISTEN_FDS counts. The error is about what is no socket
// to accept connections from, and is left alone: a count that is wrong may reach
// descriptors of our own.
func takeSockets(count, names string) (sockets []*Socket, err error) {
	if count == "" {
		return nil, nil
	}
	n, err := strconv.Atoi(count)
	if err != nil || n < 0 || n > mostSockets {
		return nil, fmt.Errorf("systemd: LISTEN_FDS %q is no number from 0 to %d; no socket is taken", count, mostSockets)
	}
	called, err := namesOf(n, names)
	for i, name := range called {
		fd := firstSocket + i
		if serr := prepareSocket(fd); serr != nil {
			if err == nil {
				err = fmt.Errorf("systemd: descriptor %d, %s, %w", fd, name, serr)
			}
			continue
		}
		sockets = append(sockets, &Socket{Name: name, FD: fd, File: os.NewFile(uintptr(fd), name)})
	}
	return sockets, err
}

// Pick returns the sockets that which means: those of that name, or the one of
// that number if there is no such name.
func Pick(sockets []*Socket, which string) (picked []*Socket) {
	for _, s := range sockets {
		if s.Name == which {
			picked = append(picked, s)
		}
	}
	if len(picked) > 0 {
		return picked
	}
	for _, s := range sockets {
		if strconv.Itoa(s.FD) == which {
			picked = append(picked, s)
		}
	}
	return picked
}
