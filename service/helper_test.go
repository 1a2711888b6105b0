package service_test

import "strings"

func cutUnix(endpoint string) (string, bool) { return strings.CutPrefix(endpoint, "unix:") }
