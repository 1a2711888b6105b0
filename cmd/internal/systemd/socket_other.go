//go:build !linux

package systemd

import "errors"

func prepareSocket(int) error { return errors.New("is not taken: there is systemd only on Linux") }
