package main

import (
	"context"
)

func (r *rig) runtimeChecks(ctx context.Context, p *peer, note notes) error { return nil }
func (r *rig) modelChecks(ctx context.Context, p *peer, note notes) error { return nil }
func (r *rig) clientOfRuntime(ctx context.Context, p, rt *peer, note notes) error { return nil }
func (r *rig) proxyChecks(ctx context.Context, p, rt *peer, note notes) error { return nil }
