package ipc

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/heddle-go/heddle/session"
)

// Whatever is sent while the channel stands still and goes on, is ready or not, and
// times out or not: what arrives is in order and whole, nothing twice, and only what
// was said to have timed out may be missing.
func TestOrderModel(t *testing.T) {
	timedOut, missing := 0, 0
	for seed := range uint64(30) {
		synctest.Test(t, func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 0))
			here, there := NewHub(HubOptions{QueueAge: time.Hour, QueueMessages: 1 << 20, QueueBytes: 1 << 30}), NewHub(HubOptions{})
			var book notebook
			there.Default().Handle("t", func(_ context.Context, m *Received) error {
				text := string(m.Payload)
				i, err := strconv.Atoi(strings.TrimRight(text, "x"))
				if err != nil {
					t.Errorf("damaged: %.40q", text)
				}
				book.note("%d", i)
				if i%7 == 0 {
					time.Sleep(time.Duration(i%50) * time.Millisecond)
				}
				return m.Reply(Bytes(m.Payload))
			})
			a, b := newPeer(t, here, PeerInfo{Waits: r.IntN(2) == 0}), newPeer(t, there, PeerInfo{})
			var sa, sb *side
			acks := make(map[int]*Ack)
			texts := make(map[int]string)
			const n = 400
			for i := range n {
				texts[i] = strconv.Itoa(i) + strings.Repeat("x", r.IntN(1+r.IntN(8000)))
				m := say("t", texts[i])
				switch r.IntN(3) {
				case 0:
					post(t, a, m)
				case 1:
					m.Timeout = time.Duration(1+r.IntN(300)) * time.Millisecond
					acks[i] = send(t, a, m)
				case 2:
					m.Timeout = -1
					acks[i] = send(t, a, m)
				}
				switch {
				case i == 100:
					sa, sb = plug(t, a, b)
				case i == 150:
					if err := a.SetReady(); err != nil {
						t.Fatal(err)
					}
				case i > 100 && r.IntN(10) == 0:
					[]*side{sa, sb}[r.IntN(2)].end.Stall(r.IntN(2) == 0)
				case r.IntN(10) == 0:
					time.Sleep(time.Duration(r.IntN(50)) * time.Millisecond)
				}
			}
			sa.end.Stall(false)
			sb.end.Stall(false)
			late := make(map[int]bool)
			for i, ack := range acks {
				switch reply, err := ack.Wait(t.Context()); {
				case errors.Is(err, os.ErrDeadlineExceeded):
					late[i] = true
				case err != nil || string(reply.Payload) != texts[i]:
					t.Errorf("message %d: got %.20q, %v", i, reply.Payload, err)
				}
			}
			if _, err := a.Ask(t.Context(), Message{Topic: "t", Body: Bytes([]byte(fmt.Sprint(n))), Timeout: -1}); err != nil {
				t.Error(err)
			}
			timedOut += len(late)
			last := -1
			for _, line := range book.all() {
				i, _ := strconv.Atoi(line)
				for last++; last < i; last++ {
					if missing++; !late[last] {
						t.Errorf("seed %d: message %d is missing", seed, last)
					}
				}
				if i != last {
					t.Errorf("seed %d: message %d after %d", seed, i, last)
				}
			}
			if last != n {
				t.Errorf("seed %d: the last is %d", seed, last)
			}
		})
	}
	if missing == 0 || missing == timedOut {
		t.Errorf("%d messages timed out, of which %d did not arrive: there are not both kinds", timedOut, missing)
	}
}

// A text of any length is cut between characters.
func TestLongFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		here, there := NewHub(HubOptions{}), NewHub(HubOptions{})
		sa, _ := join(t, here, there)
		text := strings.Repeat("x", session.MaxText-1) + "é" + strings.Repeat("x", 5<<20)
		there.Default().Handle("t", func(context.Context, *Received) error { return errors.New(text) })
		_, err := sa.peer.Ask(t.Context(), say("t", ""))
		var e *RemoteError
		if !errors.As(err, &e) || e.Msg != text[:session.MaxText-1] {
			t.Errorf("got %d bytes", len(err.Error()))
		}
	})
}
