// A client on the Go framework's package cocaine (0.11): what bench/realpeers has
// every client do. Arguments: the locator and an app's name.
package main

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/cocaine/cocaine-framework-go/cocaine"
)

func tell(check, seen string, err error) {
	if err != nil {
		fmt.Printf("failed\t%s\t%v\n", check, err)
		return
	}
	fmt.Printf("seen\t%s\t%s\n", check, seen)
}

// call makes a call and reads its answer, if there is one, into out.
func call(s *cocaine.Service, method string, out interface{}, args ...interface{}) error {
	res, ok := <-s.Call(method, args...)
	if !ok {
		return nil // an end without a value
	}
	if res.Err() != nil || out == nil {
		return res.Err()
	}
	return res.Extract(out)
}

func fails(check string, err error) {
	if err == nil {
		tell(check, "", errors.New("no error"))
		return
	}
	tell(check, "an error: "+err.Error(), nil)
}

func main() {
	locator, app := os.Args[1], os.Args[2]
	_, err := cocaine.NewService("nothing-here", locator)
	fails("unknown service", err)

	s, err := cocaine.NewService("storage", locator)
	if err != nil {
		tell("storage", "", err)
		os.Exit(1)
	}
	tell("storage.write", "done", call(s, "write", nil, "coll", "key", "value-1", []string{"tag"}))
	var blob string
	err = call(s, "read", &blob, "coll", "key")
	tell("storage.read", fmt.Sprintf("%q", blob), err)
	var keys []string
	err = call(s, "find", &keys, "coll", []string{"tag"})
	tell("storage.find", fmt.Sprintf("%q", keys), err)
	tell("storage.remove", "done", call(s, "remove", nil, "coll", "key"))
	fails("storage.read, missing", call(s, "read", &blob, "coll", "key"))

	l, err := cocaine.NewLogger(locator)
	tell("logging.verbosity", "asked", err)
	if err == nil {
		l.Errf("said by a client, %d", 1)
		tell("logging.emit", "sent", nil)
		time.Sleep(200 * time.Millisecond)
	}

	a, err := cocaine.NewService(app, locator)
	if err != nil {
		tell("app", "", err)
		os.Exit(1)
	}
	// Extract unpacks what it gets, and the event echo gives the bytes back as
	// they are: so they are msgpack already.
	var got string
	if err = call(a, "enqueue", &got, "echo", "\xa3one"); err == nil && got != "one" {
		err = fmt.Errorf("got %q", got)
	}
	tell("enqueue", "one piece, there and back", err)
	fails("enqueue, unknown event", call(a, "enqueue", nil, "no-such-event", "x"))
}
