package worker

// SetLaunched makes this process one that an engine has started as l says, until
// restore is called.
func SetLaunched(l *Launch) (restore func()) {
	was := launched
	setLaunched(l, nil)
	return func() { launched = was }
}
