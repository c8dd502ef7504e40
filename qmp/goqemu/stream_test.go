package goqemu_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	goqmp "github.com/digitalocean/go-qemu/qmp"

	"qmp-dbus-bridge/qmp/goqemu"
	"qmp-dbus-bridge/qmp/qmptest"
)

// flooded gives a monitor and what has QEMU send events so that the monitor has read them when it returns.
func flooded(t *testing.T) (*goqemu.Monitor, func(send func(*qmptest.QEMU))) {
	m, l := direct(t, qmptest.Answers{"query-name": "{}"}.Handle)
	return m, func(send func(*qmptest.QEMU)) {
		t.Helper()
		send(l.Client())
		if _, err := m.Run([]byte(`{"execute":"query-name"}`)); err != nil {
			t.Fatal(err)
		}
	}
}

// TestMaxEvents has a reader that takes no events: as many as may wait come, and past that they are counted. One more may
// be on its way to the reader.
func TestMaxEvents(t *testing.T) {
	m, flood := flooded(t)
	for _, test := range []struct{ sent, least, most int }{
		{goqemu.MaxEvents, 0, 0},
		{goqemu.MaxEvents + 2, 1, 2},
		{goqemu.MaxEvents + 100, 99, 100},
	} {
		ctx, cancel := context.WithCancel(context.Background())
		ch, err := m.Events(ctx)
		if err != nil {
			t.Fatal(err)
		}
		flood(func(q *qmptest.QEMU) {
			for i := range test.sent {
				q.Event("STOP", fmt.Sprintf(`{"n": %d}`, i))
			}
		})
		received, lost := 0, 0
		for received+lost < test.sent {
			e := event(t, ch)
			switch {
			case e.Event == goqemu.EventLost:
				lost += int(e.Data["count"].(float64))
			case e.Data["n"] != float64(received):
				t.Fatalf("event %v came, want %d", e.Data, received)
			default:
				received++
			}
		}
		if lost < test.least || lost > test.most {
			t.Errorf("of %d events %d were lost, want %d to %d", test.sent, lost, test.least, test.most)
		}
		send(t, flood, "AFTER", "")
		if e := event(t, ch); e.Event != "AFTER" {
			t.Errorf("%s came, want AFTER", e.Event)
		}
		cancel()
		ended(t, ch)
	}
}

func send(t *testing.T, flood func(func(*qmptest.QEMU)), name, data string) {
	t.Helper()
	flood(func(q *qmptest.QEMU) { q.Event(name, data) })
}

// TestMaxEventBytes has one event as large as may wait, and one that is a byte larger.
func TestMaxEventBytes(t *testing.T) {
	m, flood := flooded(t)
	ch := events(t, m)
	const frame = len(`{"x":""}`)
	for _, over := range []int{0, 1} {
		send(t, flood, "BIG", `{"x":"`+strings.Repeat("x", goqemu.MaxEventBytes-frame+over)+`"}`)
		want := []string{"BIG", goqemu.EventLost}[over]
		if e := event(t, ch); e.Event != want {
			t.Errorf("%d bytes of data: %s came, want %s", goqemu.MaxEventBytes+over, e.Event, want)
		}
	}
}

// TestLastEvents has QEMU end after events that nobody has taken: they come, and then the end.
func TestLastEvents(t *testing.T) {
	m, flood := flooded(t)
	first, second := events(t, m), events(t, m)
	send(t, flood, "SHUTDOWN", `{"guest": true}`)
	flood(func(q *qmptest.QEMU) { q.Event("LAST", "") })
	if _, err := m.Run([]byte(`{"execute":"quit"}`)); err != nil {
		t.Error(err)
	}
	for _, ch := range []<-chan goqmp.Event{first, second} {
		for _, want := range []string{"SHUTDOWN", "LAST"} {
			if e := event(t, ch); e.Event != want {
				t.Errorf("%s came, want %s", e.Event, want)
			}
		}
		ended(t, ch)
	}
}
