package servicetest

import (
	"fmt"
	"maps"
	"slices"

	"github.com/heddle-go/heddle"
)

// storage is collections of objects by key.
type storage map[string]map[string]object

type object struct {
	blob string
	tags []string
}

// storageMethods are PROTOCOL.md 2.7 and 3.7.
func (c *Cloud) storageMethods() []Method {
	tags := Takes(Text, Text, Text).Or(Texts)
	return []Method{
		{ID: 0, Name: "read", Inline: true, Params: Takes(Text, Text), Upstream: Primitive, Serve: c.read},
		{ID: 1, Name: "write", Inline: true, Params: tags, Upstream: Primitive, Serve: func(call *Call) {
			var tags []string
			list, _ := call.Arg(3).([]any)
			for _, tag := range list {
				tags = append(tags, tag.(string))
			}
			c.Store(call.Text(0), call.Text(1), call.Text(2), tags...)
		}},
		{ID: 2, Name: "remove", Inline: true, Params: Takes(Text, Text), Upstream: Primitive, Serve: c.remove},
		{ID: 3, Name: "find", Inline: true, Params: Takes(Text, Texts), Upstream: Primitive, Serve: c.find},
	}
}

// Store puts an object into storage.
func (c *Cloud) Store(collection, key, blob string, tags ...string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.storage[collection] == nil {
		c.storage[collection] = map[string]object{}
	}
	c.storage[collection][key] = object{blob, tags}
}

// Stored returns an object of storage. false: there is none.
func (c *Cloud) Stored(collection, key string) (blob string, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	o, ok := c.storage[collection][key]
	return o.blob, ok
}

func (c *Cloud) read(call *Call) {
	collection, key := call.Text(0), call.Text(1)
	blob, ok := c.Stored(collection, key)
	switch {
	case ok:
		_ = call.Value(blob)
	case c.dialect == heddle.V0:
		_ = call.Error(0, invocation, fmt.Sprintf("object '%s' has not been found in '%s'", key, collection))
	default:
		_ = call.Error(12, 2, fmt.Sprintf("%s/%s/%s: No such file or directory", c.options.Prefix, collection, key))
	}
}

func (c *Cloud) remove(call *Call) {
	c.mu.Lock()
	delete(c.storage[call.Text(0)], call.Text(1))
	c.mu.Unlock()
}

// find gives the keys of the objects that have all the tags. No tags find
// nothing.
func (c *Cloud) find(call *Call) {
	tags, _ := call.Arg(1).([]any)
	keys := []string{}
	c.mu.Lock()
	for _, key := range slices.Sorted(maps.Keys(c.storage[call.Text(0)])) {
		has := c.storage[call.Text(0)][key].tags
		if len(tags) > 0 && !slices.ContainsFunc(tags, func(tag any) bool { return !slices.Contains(has, tag.(string)) }) {
			keys = append(keys, key)
		}
	}
	c.mu.Unlock()
	_ = call.Value(keys)
}
