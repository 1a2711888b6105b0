package session_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/heddle-go/heddle/session"
)

func TestTable(t *testing.T) {
	inner := session.NewTable(session.Arm{ID: 5, Name: "last", Next: session.Mute})
	table := session.NewTable(
		session.Arm{ID: 65535, Name: "far"},
		session.Arm{ID: 2, Name: "on", Next: inner},
		session.Arm{ID: 2, Name: "again"},
		session.Arm{ID: 0, Name: "write"},
	)
	var ids []uint64
	for _, a := range table.Arms() {
		ids = append(ids, a.ID)
	}
	if diff := cmp.Diff([]uint64{0, 2, 65535}, ids); diff != "" {
		t.Errorf("ids, -want +got:\n%s", diff)
	}
	if a, ok := table.Arm(2); !ok || a.Name != "on" || a.Next != inner {
		t.Errorf("Arm(2) = %+v, %v", a, ok)
	}
	for _, id := range []uint64{1, 3, 65534, 1 << 63} {
		if a, ok := table.Arm(id); ok {
			t.Errorf("Arm(%d) = %+v", id, a)
		}
	}
	table.Arms()[0].Name = "changed"
	if a, _ := table.Arm(0); a.Name != "write" {
		t.Error("Arms gave away the table's own memory")
	}
	if _, ok := session.Mute.Arm(0); ok || !session.Mute.Empty() || session.Primitive.Empty() {
		t.Error("empty is not empty, or the other way round")
	}
	var none *session.Table
	if _, ok := none.Arm(0); ok || !none.Empty() || none.Arms() != nil {
		t.Error("a nil table carries something")
	}
}

// As the graph in a real resolve's answer has them (PROTOCOL 3.1).
func TestStandardTables(t *testing.T) {
	type arm = session.Arm
	for _, c := range []struct {
		table *session.Table
		want  []arm
	}{
		{session.Primitive, []arm{{0, "value", session.Mute}, {1, "error", session.Mute}}},
		{session.Streaming, []arm{{0, "write", nil}, {1, "error", session.Mute}, {2, "close", session.Mute}}},
		{session.Mute, nil},
	} {
		same := cmp.Comparer(func(a, b *session.Table) bool { return a == b })
		if diff := cmp.Diff(c.want, c.table.Arms(), same, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	}
}
