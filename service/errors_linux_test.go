package service_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/heddle-go/heddle/service"
	"github.com/heddle-go/heddle/service/servicetest"
)

// What a person reads names each place and each step once, on one line.
func TestErrorTexts(t *testing.T) {
	c := servicetest.New(t, servicetest.Runtime012, servicetest.Options{})
	c.Sample("sample")
	dead := c.DeadEndpoint().String()
	const refused = "disconnected: connect: connection refused"
	for _, test := range []struct {
		name     string
		locators []string
		service  service.Options
		is       error
		text     string
	}{
		{"an unknown name", []string{c.Endpoint()}, service.Options{Name: "nobody"}, service.ErrNotAvailable,
			fmt.Sprintf("service nobody: resolve: locator %s: error [10,1]: service is not available", c.Endpoint())},
		{"no locator", []string{dead}, service.Options{Name: "sample"}, service.ErrDisconnected,
			fmt.Sprintf("service sample: resolve: locator %s: %s", dead, refused)},
		{"none of two", []string{dead, "127.0.0.1:1"}, service.Options{Name: "sample"}, service.ErrDisconnected,
			fmt.Sprintf("service sample: resolve: locator %s: %s; locator 127.0.0.1:1: %s", dead, refused, refused)},
		{"no endpoint", []string{c.Endpoint()}, service.Options{Name: "sample", Endpoints: []string{"127.0.0.1:1"}, Dialect: service.DialectV1}, service.ErrDisconnected,
			"service sample: connect: disconnected: dial tcp 127.0.0.1:1: connect: connection refused"},
		{"no method", []string{c.Endpoint()}, service.Options{Name: "sample"}, service.ErrNoMethod, "service sample: nothing: no such method"},
	} {
		t.Run(test.name, func(t *testing.T) {
			client := newClientAt(t, test.locators, service.ClientOptions{})
			s := newService(t, client, test.service)
			_, err := s.Call(withPatience(t), "nothing")
			if err == nil || err.Error() != test.text || !errors.Is(err, test.is) {
				t.Errorf("got  %v\nwant %s, which is %v", err, test.text, test.is)
			}
		})
	}
}
