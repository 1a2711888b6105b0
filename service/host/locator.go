package host

import (
	heddle "github.com/heddle-go/heddle"
)

// A lookup is the arguments of resolve; the seed is v1's.
type lookup struct {
	_    struct{} `msg:",tuple"`
	Name string
	Seed string
}

type lookupV0 struct {
	_    struct{} `msg:",tuple"`
	Name string
}

func (c *Cloud) locatorService() Service {
	return Service{
		Name: nameLocator, Version: 3,
		V0: []Method{
			Quick(0, "resolve", 1, func(call *Call, a *lookupV0) (Results, error) { return c.resolve(call, a.Name, "") }),
		},
		V1: []Method{
			Quick(0, "resolve", 1, func(call *Call, a *lookup) (Results, error) { return c.resolve(call, a.Name, a.Seed) }),
		},
	}
}

// codeNotAvailable is CategoryLocator's (PROTOCOL 3.8).
const codeNotAvailable = 1

// errNotAvailable: some clients know it by its text (PROTOCOL 3.3).
var errNotAvailable = &Error{Category: heddle.CategoryLocator, Code: codeNotAvailable, Msg: "service is not available", MsgV0: "the specified service is not available"}

// resolve tells where a service is and what it can.
func (c *Cloud) resolve(call *Call, name, seed string) (Results, error) {
	d := call.Dialect()
	sv := c.find(name)
	if sv == nil || sv.doors[d] == nil || name == nameLocator && d == heddle.V0 { // that of v0 does not know itself
		return nil, errNotAvailable
	}
	if d == heddle.V0 {
		return Results{c.told(call, sv.doors[d].at)[0], 1, sv.graphs[d]}, nil
	}
	return Results{c.told(call, sv.doors[d].at), sv.Version, sv.graphs[d]}, nil
}

// told is an endpoint of ours as a client of a locator is told of it: at the address
// at which he has reached us, unless the options say better.
func (c *Cloud) told(call *Call, at endpoint) []endpoint {
	if at.Port == 0 {
		return []endpoint{at}
	}
	if at.Host == "" {
		at.Host = call.conn.own().Host
	}
	switch {
	case call.Dialect() == heddle.V0 && c.opt.Host != "":
		at.Host = c.opt.Host
	case call.Dialect() == heddle.V1 && len(c.opt.Addresses) > 0:
		all := make([]endpoint, len(c.opt.Addresses))
		for i, a := range c.opt.Addresses {
			all[i] = endpoint{Host: a, Port: at.Port}
		}
		return all
	}
	return []endpoint{at}
}
