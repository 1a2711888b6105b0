package loop

// Stats is a snapshot of a loop's counters. All but the last two only grow.
type Stats struct {
	Turns        uint64 // batches of events, as far as the loop can tell them apart
	Events       uint64 // events handled, wake-ups included
	Wakeups      uint64 // writes to the eventfd, by any goroutine
	Tasks        uint64 // functions given to Do that ran
	Reads        uint64 // read system calls on connections
	Writes       uint64 // write system calls on connections
	BytesRead    uint64
	BytesWritten uint64
	Accepted     uint64 // connections accepted, those dealt to other loops included
	AcceptPauses uint64 // times accepting rested because descriptors had run out
	Refused      uint64 // connections reset because they were too many
	Dialed       uint64 // dials begun
	Panics       uint64 // callbacks that panicked

	Conns  int64 // connections now owned by the loop
	Timers int64 // timers now running
}
