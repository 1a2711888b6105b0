package service_test

import (
	"strings"

	"github.com/heddle-go/heddle/codec"
)

type header = codec.Header

func cutUnix(endpoint string) (string, bool) { return strings.CutPrefix(endpoint, "unix:") }
