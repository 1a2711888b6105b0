// Package servicetest is a Cocaine cloud in the test's own process: a locator,
// storage, logging and apps, on real sockets, that answer a client as the
// runtimes 0.11 and 0.12 do.
//
//	c := servicetest.New(t, servicetest.Runtime012, servicetest.Options{})
//	client := … // with c.Endpoint() as its locator
//
// It is as strict as the real ones. Where they close the connection on a
// client's mistake, it does so too, and where they answer with an error, it
// answers with the same one. Beyond that it fails the test for each mistake, a
// [Slip], and for some that these two runtimes forgive and other peers do not.
//
// It shares no code with package session, so that the two are two opinions. It
// was held against what the real runtimes have answered to recorded requests.
//
// # What can go wrong
//
// [Service.SetFaults] makes a service misbehave: silent, slow, answers that
// never end or go on after the end, bytes that are no frame. [Service.Announce]
// makes the locator lie about it. [Service.Stop], [Service.Kill] and
// [Service.Start] are its restarts. The locator is a [Service] as any other.
package servicetest
