package main

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"github.com/heddle-go/heddle/cmd/internal/systemd"
	"github.com/heddle-go/heddle/httpcompat/front"
)

// inherit gives each fd:NAME its sockets. Where nobody has chosen addresses, the
// sockets that were passed are all there are.
func inherit(listeners []front.Listener, chosen bool, sockets []*systemd.Socket, log *slog.Logger) ([]front.Listener, error) {
	if !chosen && len(sockets) > 0 {
		listeners = nil
		for _, s := range sockets {
			listeners = append(listeners, front.Listener{Address: "fd:" + s.Name, File: s.File})
		}
		return listeners, nil
	}
	var out []front.Listener
	used := make(map[*systemd.Socket]bool)
	for _, l := range listeners {
		name, ok := l.Inherited()
		if !ok {
			out = append(out, l)
			continue
		}
		picked := systemd.Pick(sockets, name)
		if len(picked) == 0 {
			return nil, socketFailure(name, sockets)
		}
		for _, s := range picked {
			if used[s] {
				return nil, usage("run", "--listen %s: that socket is listened on already", l)
			}
			used[s] = true
			out = append(out, front.Listener{Address: l.Address, Proxy: l.Proxy, File: s.File})
		}
	}
	if idle := slices.DeleteFunc(slices.Clone(sockets), func(s *systemd.Socket) bool { return used[s] }); len(idle) > 0 {
		log.Warn("sockets were passed that no --listen names; who connects there waits in vain", "sockets", socketNames(idle))
	}
	return out, nil
}

// socketFailure says which sockets there are instead.
func socketFailure(name string, sockets []*systemd.Socket) error {
	f := &failure{
		code: exitError,
		err:  fmt.Errorf("cannot listen on fd:%s: no socket of that name or number was passed", name),
		fine: "nothing was started.",
		try:  "try: FileDescriptorName=" + name + " in the socket's unit; systemd-socket-activate --fdname=" + name + " -l 8080 heddle run …, by hand",
	}
	if len(sockets) > 0 {
		f.err = errors.New(f.err.Error() + "; there are: " + socketNames(sockets))
	}
	return f
}

func socketNames(sockets []*systemd.Socket) string {
	var b strings.Builder
	for i, s := range sockets {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "fd:%s (%d)", s.Name, s.FD)
	}
	return b.String()
}
