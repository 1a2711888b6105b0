package session_test

import (
	"github.com/heddle-go/heddle/loop"
	"github.com/heddle-go/heddle/session"
)

var _ loop.RefuseHandler = (*session.Mux)(nil)
