package service

import (
	"context"

	"github.com/heddle-go/heddle/session"
)

// An AnyService is a service of which nothing is known but what its locator
// tells: every method of that graph can be called by name, and the streams of a
// call follow the graph (Stream.Say, Stream.Next). What the graph does not have is
// refused before anything is sent. Dialect v0 tells the names of methods only.
type AnyService struct{ *Service }

// Any returns a service as what its locator tells.
func (c *Client) Any(name string) (AnyService, error) { return Get(c, name, NewAnyService) }

// NewAnyService returns s as what its locator tells.
func NewAnyService(s *Service) AnyService { return AnyService{s} }

// Method returns the method of this name, with what either side may say, or an
// ErrNoMethod. It connects if a call would.
func (s AnyService) Method(ctx context.Context, name string) (*session.Method, error) {
	c, err := s.ready(ctx, name)
	if err != nil {
		return nil, err
	}
	if m := c.methods[name]; m != nil {
		return m, nil
	}
	return nil, c.fail(name, ErrNoMethod)
}
