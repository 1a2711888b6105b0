package host

// A Node starts and stops apps.
type Node interface{}
