// Package service is the calling side: it calls the methods of services, those of
// Cocaine's runtimes 0.11 and 0.12 and Heddle's own (PROTOCOL 2.2, 3.1).
//
//	client, err := service.NewClient(service.ClientOptions{})
//	storage, err := client.Service("storage")
//	blob, err := service.Call[string](ctx, storage, "read", "collection", "key")
//
// A [Client] asks locators where services are, and in what dialect. A [Service]
// has one connection to one service, and is one of the states of [Lifecycle]:
// closed, connecting, connected, error. It can be had without a Client, for
// endpoints that are known ([New]).
//
// # Calls
//
// [Service.Call] and [Call] wait for one value, [Service.Stream] opens both
// directions of a call. A call that has heard nothing for Options.Timeout ends
// with [ErrTimeout]; each message of the answer renews that. Toward dialect v0 the
// end of a value's answer is its choke, which has to come. A call that is given up
// is forgotten at once. A service of v1 is told by the control message revoke, if
// its graph has that; any other goes on with it, for nobody.
//
// # The log
//
// [Client.Logger] returns a [Logger] for the service logging. It never waits, and is a
// slog.Handler, too.
//
// # Customising
//
// A [Definition] says for one service how arguments are packed and answers
// unpacked, method by method, adds methods, and wraps calls (retries, metrics,
// traces). Calls made around it do not exist: Stream goes through its wrappers,
// too.
//
// # Reconnecting
//
// [Reconnect] says what makes a connection beside [Service.Connect]. A lost
// connection fails the calls in flight with [ErrDisconnected]; only those of which
// the kernel has not taken the last byte are made again, on the next connection.
package service
