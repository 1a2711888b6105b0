// A client on the Go framework's package cocaine12 (0.12): what bench/realpeers
// has every client do. Arguments: the locator and an app's name.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/cocaine/cocaine-framework-go/cocaine12"
)

var ctx, _ = context.WithTimeout(context.Background(), 15*time.Second)

func tell(check, seen string, err error) {
	if err != nil {
		fmt.Printf("failed\t%s\t%v\n", check, err)
		return
	}
	fmt.Printf("seen\t%s\t%s\n", check, seen)
}

// call makes a call that is answered by one value, which it reads into out.
func call(s *cocaine12.Service, method string, out []interface{}, args ...interface{}) error {
	ch, err := s.Call(ctx, method, args...)
	if err != nil {
		return err
	}
	res, err := ch.Get(ctx)
	if err != nil {
		return err
	}
	if res.Err() != nil || len(out) == 0 {
		return res.Err()
	}
	return res.ExtractTuple(out...)
}

// fails turns an error into what was seen.
func fails(check string, err error) {
	if err == nil {
		tell(check, "", errors.New("no error"))
		return
	}
	tell(check, "an error: "+err.Error(), nil)
}

func main() {
	locator, app := []string{os.Args[1]}, os.Args[2]
	_, err := cocaine12.NewService(ctx, "nothing-here", locator)
	fails("unknown service", err)
	storage(locator)
	logging(locator)
	apps(locator, app)
}

func storage(locator []string) {
	s, err := cocaine12.NewService(ctx, "storage", locator)
	if err != nil {
		tell("storage", "", err)
		return
	}
	defer s.Close()
	tell("storage.write", "done", call(s, "write", nil, "coll", "key", "value-1", []string{"tag"}))
	var blob string
	err = call(s, "read", []interface{}{&blob}, "coll", "key")
	tell("storage.read", fmt.Sprintf("%q", blob), err)
	var keys []string
	err = call(s, "find", []interface{}{&keys}, "coll", []string{"tag"})
	tell("storage.find", fmt.Sprintf("%q", keys), err)
	tell("storage.remove", "done", call(s, "remove", nil, "coll", "key"))
	fails("storage.read, missing", call(s, "read", []interface{}{&blob}, "coll", "key"))
}

func logging(locator []string) {
	l, err := cocaine12.NewLogger(ctx, locator...)
	if err != nil {
		tell("logging", "", err)
		return
	}
	defer l.Close()
	tell("logging.verbosity", fmt.Sprint(int(l.Verbosity(ctx))), nil)
	l.WithFields(cocaine12.Fields{"number": 7, "text": "x"}).Errf("said by a client, %d", 1)
	tell("logging.emit", "sent", nil)
	time.Sleep(200 * time.Millisecond) // nothing answers
}

func apps(locator []string, app string) {
	s, err := cocaine12.NewService(ctx, app, locator)
	if err != nil {
		tell("app", "", err)
		return
	}
	defer s.Close()
	tell("enqueue", "3 pieces, there and back", echo(s))
	ch, err := s.Call(ctx, "enqueue", "no-such-event")
	if err == nil {
		var res cocaine12.ServiceResult
		if res, err = ch.Get(ctx); err == nil {
			err = res.Err()
		}
	}
	fails("enqueue, unknown event", err)
}

func echo(s *cocaine12.Service) error {
	ch, err := s.Call(ctx, "enqueue", "echo")
	if err != nil {
		return err
	}
	for _, piece := range []string{"one", "two", "three"} {
		if err := ch.Call(ctx, "write", piece); err != nil {
			return err
		}
		res, err := ch.Get(ctx)
		if err != nil {
			return err
		}
		var got string
		if err := res.ExtractTuple(&got); err != nil || got != piece {
			return fmt.Errorf("got %q, %v, want %q", got, err, piece)
		}
	}
	if err := ch.Call(ctx, "close"); err != nil {
		return err
	}
	res, err := ch.Get(ctx)
	if err != nil {
		return err
	}
	if method, _, _ := res.Result(); method != 2 {
		return fmt.Errorf("the stream ends with message %d, want 2", method)
	}
	return nil
}
