package engine

import (
	"fmt"
	"time"
)

// RecycleOptions say when a worker has done enough and is replaced: its
// successor first, one worker at a time. A zero is no limit. It is looked at once
// a second.
type RecycleOptions struct {
	Requests uint64        // sessions that it was given
	Age      time.Duration // since it was ready
	Memory   int64         // bytes resident
}

// recycleEvery is how often a worker is looked at.
const recycleEvery = time.Second

// recycleSoon sets the time of the next look, if there is anything to look for.
func (c *child) recycleSoon() {
	if c.checkup.IsZero() && c.e.tuning().Recycle != (RecycleOptions{}) && isClosed(c.ready) && !isClosed(c.tired) && !c.outDone {
		c.checkup = time.Now().Add(recycleEvery)
	}
}

// lookWhetherTired has the worker replaced if it has done enough. Standbys are
// left alone.
func (c *child) lookWhetherTired() {
	c.checkup = time.Time{}
	switch c.life.Current() {
	case stateSuspended, stateOnline:
	case stateReady: // it waits for the others of its release
		c.recycleSoon()
		return
	default:
		return
	}
	why := c.enough()
	if why == "" || c.place() == standbyIndex {
		c.recycleSoon()
		return
	}
	c.tell(func(f *facts) { f.why = why })
	c.logger().Info("engine: worker is recycled", "why", why)
	c.e.stats.recycled.Add(1)
	close(c.tired)
}

// enough says which limit the worker has passed; "" for none.
func (c *child) enough() string {
	o := &c.e.tuning().Recycle
	if o.Requests > 0 {
		if n := c.taken(); n >= o.Requests {
			return fmt.Sprintf("it had %d requests", n)
		}
	}
	if age := time.Since(c.readyAt()); o.Age > 0 && age >= o.Age {
		return fmt.Sprintf("it is %v old", age.Round(time.Second))
	}
	if o.Memory > 0 {
		if n, err := c.resident(); err == nil && n >= o.Memory {
			return fmt.Sprintf("it has %d MiB resident", n>>20)
		}
	}
	return ""
}

// taken is how many sessions the worker was given.
func (c *child) taken() (n uint64) {
	for _, ch := range c.all() {
		n += ch.mux.Counters().Opened
	}
	if c.plain != nil {
		n = c.e.leases.given(c)
	}
	return n
}

// resident is how many bytes it has; a plain program's whole group counts.
func (c *child) resident() (int64, error) {
	if c.plain != nil {
		return c.e.world.groupMemory(c.pid())
	}
	return c.e.world.memory(c.greeter())
}

// greeter is the process that the channels came from.
func (c *child) greeter() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.peer
}
