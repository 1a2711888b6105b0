package servicetest

import (
	"fmt"
	"maps"
	"slices"

	"github.com/heddle-go/heddle"
)

// nodeMethods are PROTOCOL.md 2.5 and 3.5. The node of this cloud knows no app
// that it could start; App makes them.
func (c *Cloud) nodeMethods() []Method {
	list := Method{ID: 2, Name: "list", Upstream: Primitive, Serve: func(call *Call) { _ = call.Value(c.apps()) }}
	if c.dialect == heddle.V0 {
		return []Method{
			{ID: 0, Name: "start_app", Params: Takes(Map), Upstream: Primitive, Serve: func(call *Call) {
				all := map[string]any{}
				profiles, _ := call.Arg(0).(map[any]any)
				for app := range profiles {
					all[fmt.Sprint(app)] = fmt.Sprintf("object '%v' has not been found in 'manifests'", app)
				}
				_ = call.Value(all)
			}},
			{ID: 1, Name: "pause_app", Params: Takes(Texts), Upstream: Primitive, Serve: func(call *Call) {
				all := map[string]any{}
				names, _ := call.Arg(0).([]any)
				for _, app := range names {
					all[fmt.Sprint(app)] = "app is not running"
				}
				_ = call.Value(all)
			}},
			list,
		}
	}
	absent := func(call *Call) {
		_ = call.Error(12, 22, fmt.Sprintf("app '%s' is not running: Invalid argument", call.Text(0)))
	}
	return []Method{
		{ID: 0, Name: "start_app", Params: Takes(Text, Text), Upstream: Primitive, Serve: func(call *Call) {
			_ = call.Error(12, 2, fmt.Sprintf("%s/manifests/%s: No such file or directory", c.options.Prefix, call.Text(0)))
		}},
		{ID: 1, Name: "pause_app", Params: Takes(Text), Upstream: Primitive, Serve: absent},
		list,
		{ID: 3, Name: "info", Params: Takes(Text).Or(Number), Upstream: Primitive, Serve: absent},
		{ID: 4, Name: "control", Params: Takes(Text), Dispatch: Streaming, Upstream: Primitive, Serve: absent},
		{ID: 5, Name: "enqueue", Params: Takes(Text, Text), Dispatch: Streaming, Upstream: Streaming, Serve: c.nodeEnqueue},
	}
}

// nodeEnqueue hands a call to the app of that name.
func (c *Cloud) nodeEnqueue(call *Call) {
	name := call.Text(0)
	c.mu.Lock()
	app := c.running[name]
	c.mu.Unlock()
	if app == nil {
		_ = call.Error(0x51ff, 6, fmt.Sprintf("application %s is not found", name))
		return
	}
	app(call, call.Text(1))
}

// apps are the names of the apps, sorted.
func (c *Cloud) apps() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Sorted(maps.Keys(c.running))
}
