//go:build !linux

package engine

import (
	"context"
	"net"
)

// osWorld cannot do anything here.
type osWorld struct{}

func newWorld() world { return osWorld{} }

func (osWorld) close()                                     {}
func (osWorld) start(spec) (process, error)                { return nil, ErrUnsupported }
func (osWorld) group(int) (int, error)                     { return 0, ErrUnsupported }
func (osWorld) memory(int) (int64, error)                  { return 0, ErrUnsupported }
func (osWorld) prepare(*Engine) error                      { return ErrUnsupported }
func (osWorld) descends(int, int) bool                     { return false }
func (osWorld) groupMemory(int) (int64, error)             { return 0, ErrUnsupported }
func (osWorld) knock(context.Context, *door, string) error { return ErrUnsupported }
func (osWorld) doors(*Engine, uint64, *gate, func(*doors, string)) (*doors, error) {
	return nil, ErrUnsupported
}
func (osWorld) gate(*Engine, *User) (*gate, error) { return nil, ErrUnsupported }
func (osWorld) listen(*Engine, *lane) error        { return ErrUnsupported }

func barrier(*User, string) string { return "" }

func dialDoor(context.Context, string, string, *User) (net.Conn, error) { return nil, ErrUnsupported }

func startReaper(*Engine) (stop func()) { return func() {} }
