package engine

// An Origin says whose a session is. A pointer to one, the same for all of a
// release, is the tag of every channel of its workers (session.Mux, Tag); one
// without a release is that of a BusyError.
type Origin struct{ App, Release string }

// Labels are the two, for whoever counts by them.
func (o *Origin) Labels() (app, release string) { return o.App, o.Release }
