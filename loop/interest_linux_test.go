package loop

import (
	"fmt"
	"slices"
	"testing"

	"github.com/panjf2000/gnet/v2/pkg/netpoll"
)

// recordingRegistry notes calls and knows what the kernel would refuse.
type recordingRegistry struct {
	calls      []string
	registered bool
}

func (r *recordingRegistry) call(name string, needs, leaves bool) error {
	r.calls = append(r.calls, name)
	if r.registered != needs {
		return fmt.Errorf("%s while registered=%v", name, r.registered)
	}
	r.registered = leaves
	return nil
}

func et(name string, edge bool) string {
	if edge {
		return name + " edge"
	}
	return name
}

func (r *recordingRegistry) AddRead(_ *netpoll.PollAttachment, e bool) error {
	return r.call(et("AddRead", e), false, true)
}
func (r *recordingRegistry) AddWrite(_ *netpoll.PollAttachment, e bool) error {
	return r.call(et("AddWrite", e), false, true)
}
func (r *recordingRegistry) AddReadWrite(_ *netpoll.PollAttachment, e bool) error {
	return r.call(et("AddReadWrite", e), false, true)
}
func (r *recordingRegistry) ModRead(_ *netpoll.PollAttachment, e bool) error {
	return r.call(et("ModRead", e), true, true)
}
func (r *recordingRegistry) ModReadWrite(_ *netpoll.PollAttachment, e bool) error {
	return r.call(et("ModReadWrite", e), true, true)
}
func (r *recordingRegistry) Delete(int) error { return r.call("Delete", true, false) }

func TestChangeInterest(t *testing.T) {
	const none, read, readWrite, watch = interestNone, interestRead, interestReadWrite, interestWatch
	for _, tt := range []struct {
		from, to interest
		want     []string
	}{
		{none, none, nil},
		{none, read, []string{"AddRead"}},
		{none, readWrite, []string{"AddReadWrite"}},
		{none, watch, []string{"AddWrite edge"}},
		{read, none, []string{"Delete"}},
		{read, read, nil},
		{read, readWrite, []string{"ModReadWrite"}},
		{read, watch, []string{"Delete", "AddWrite edge"}},
		{readWrite, none, []string{"Delete"}},
		{readWrite, read, []string{"ModRead"}},
		{readWrite, readWrite, nil},
		{readWrite, watch, []string{"Delete", "AddWrite edge"}},
		{watch, none, []string{"Delete"}},
		{watch, read, []string{"ModRead"}},
		{watch, readWrite, []string{"ModReadWrite"}},
		{watch, watch, nil},
	} {
		r := &recordingRegistry{registered: tt.from != none}
		err := change(r, &netpoll.PollAttachment{}, tt.from, tt.to)
		if err != nil || !slices.Equal(r.calls, tt.want) || r.registered != (tt.to != none) {
			t.Errorf("%d to %d: got %v, %v; want %v", tt.from, tt.to, r.calls, err, tt.want)
		}
	}
}

func TestInterestOf(t *testing.T) {
	for _, tt := range []struct {
		reading, blocked bool
		want             interest
	}{
		{true, false, interestRead},
		{true, true, interestReadWrite},
		{false, false, interestWatch},
		{false, true, interestWatch},
	} {
		if got := interestOf(tt.reading, tt.blocked); got != tt.want {
			t.Errorf("reading %v, blocked %v: got %d, want %d", tt.reading, tt.blocked, got, tt.want)
		}
	}
}
