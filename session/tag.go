package session

// SetTag leaves something with the channel by which whoever opens sessions may
// tell it from others, such as whose channel it is. The Mux does nothing with
// it. Before the channel is given to anybody who opens sessions on it.
func (m *Mux) SetTag(tag any) { m.tag = tag }

// Tag is what SetTag was given; nil without. Any goroutine.
func (m *Mux) Tag() any { return m.tag }
