package service_test

import (
	"fmt"
	"testing"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/service/servicetest"
)

// newCloud is a runtime for an example, with a service "sample".
func newCloud(d heddle.Dialect) *servicetest.Cloud {
	c := servicetest.New(outside{}, d, servicetest.Options{})
	c.Sample("sample")
	return c
}

// outside is a testing.TB where there is no test.
type outside struct{ testing.TB }

func (outside) Helper()                        {}
func (outside) Cleanup(func())                 {}
func (outside) Errorf(format string, a ...any) { fmt.Printf(format+"\n", a...) }
func (outside) Fatalf(format string, a ...any) { panic(fmt.Sprintf(format, a...)) }
