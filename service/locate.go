package service

import (
	"context"
	"errors"

	"github.com/heddle-go/heddle/service/locator"
)

// A Located is a service as its locator tells of it.
type Located struct {
	locator.Info         // its endpoints in the order in which to try them
	Dialect      Dialect // that of the locator, and so of the service
	Cached       bool    // the answer is one from before, and may be out of date
}

// Locate is Resolve for those who connect by themselves, as a proxy does.
func (c *Client) Locate(ctx context.Context, name string) (Located, error) {
	t, err := c.find(ctx, name)
	d := DialectV1
	if t.dialect == DialectV0.wire() {
		d = DialectV0
	}
	return Located{t.info(), d, t.cached}, err
}

// Forget drops what is known of a service: the locator is asked anew.
func (c *Client) Forget(name string) { c.cache.drop(name) }

// Dead says that an endpoint could not be connected to, so that it is tried after
// all others for a while.
func (c *Client) Dead(e locator.Endpoint) { c.loads.died(e) }

// Ping asks the locators in order until one answers, whatever it is, and returns
// its dialect.
func (c *Client) Ping(ctx context.Context) (Dialect, error) {
	var errs []error
	for _, e := range c.endpoints {
		r := c.locators[e]
		d, err := r.tell(ctx, "locator")
		if err == nil {
			_, err = r.ask(ctx, "locator")
		}
		var said *Error // v0's locator does not know itself
		if err == nil || errors.As(err, &said) || errors.Is(err, ErrNotAvailable) {
			return d, nil
		}
		errs = append(errs, err)
	}
	return DialectAuto, refused(errs)
}
