package bridge_test

import (
	"strings"
	"testing"

	"qmp-dbus-bridge/e2e/rig"
	"qmp-dbus-bridge/qmp"
	"qmp-dbus-bridge/qmp/qmptest"
)

// connecting begins to reach QEMU, and returns how that ends.
func (w *world) connecting() <-chan error {
	ended := make(chan error, 1)
	go func() { ended <- w.connect() }()
	return ended
}

// TestArrivalWide has a QEMU that has arrived withhold what it knows of its devices: as much is asked at a time as its queue takes, and
// the rest when there is room. Later it is one at a time, since callers' commands are there too.
func TestArrivalWide(t *testing.T) {
	m := newMachine(t, crowd())
	m.hold("qom-get", true)
	w := newWorld(t, m.dial)
	ended := w.connecting()
	var waiting []*qmptest.Request
	for range qmp.MaxInBand {
		waiting = append(waiting, m.nextHeld())
	}
	m.noneHeld()
	waiting[0].Return(`"/machine/q35/pcie.0"`)
	waiting[0] = m.nextHeld()
	m.noneHeld()
	m.finish("qom-get", waiting)
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	m.hold("qom-get", true)
	for _, id := range []string{"disk1", "disk2"} {
		m.client().Event("DEVICE_DELETED", `{"device": "`+id+`", "path": "/machine/peripheral/`+id+`"}`) // they are there all the same
	}
	first := m.nextHeld()
	m.noneHeld()
	m.finish("qom-get", []*qmptest.Request{first})
}

// TestArrivalWithoutCommands has a QEMU come that is not asked the same commands as the one before, and keep what they are to itself: it
// is not shown, nor what happens to it meanwhile, before they are known.
func TestArrivalWithoutCommands(t *testing.T) {
	m := newMachine(t, nil)
	w := serve(t, m)
	c := w.as(admin)
	m.die()
	rig.Eventually(t, "QEMU has gone", func() bool { return !get[bool](c, "Connected") })
	m.hold("query-qmp-schema", true)
	asked := m.counts()["query-migrate"]
	m.listen(qmptest.Options{Greeting: strings.NewReplacer(`"micro": 22`, `"micro": 23`).Replace(qmptest.Greeting)})
	commands := m.nextHeld()
	rig.Eventually(t, "the rest is read", func() bool { return m.counts()["query-migrate"] > asked })
	asked = m.counts()["query-migrate"]
	m.answer("query-status", paused)
	m.client().Event("STOP", "")
	rig.Eventually(t, "what STOP changed is read", func() bool { return m.counts()["query-migrate"] > asked })
	if get[bool](c, "Connected") || get[string](c, "Status") != "" {
		t.Error("it is shown before its commands are known")
	}
	m.hold("query-qmp-schema", false)
	commands.Return(schemaOf(t, []string{"stop"}, nil))
	rig.Eventually(t, "it is shown", func() bool { return get[bool](c, "Connected") })
	rig.Eventually(t, "and that it has stopped", func() bool { return get[string](c, "Status") == "paused" })
	if version := get[string](c, "Version"); version != "7.2.23" {
		t.Errorf("Version = %q", version)
	}
}

// TestArrivalEnds has a QEMU go that has told all but its commands.
func TestArrivalEnds(t *testing.T) {
	m := newMachine(t, nil)
	m.hold("query-qmp-schema", true)
	w := newWorld(t, m.dial)
	ended := w.connecting()
	m.nextHeld()
	rig.Eventually(t, "the rest is read", func() bool { return m.counts()["query-migrate"] > 0 })
	m.die()
	if err := <-ended; err == nil {
		t.Error("Connect succeeded")
	}
}

// TestReach has a QEMU that greets, and tells nothing until the bridge has been reached: only read waits for that.
func TestReach(t *testing.T) {
	m := newMachine(t, nil)
	m.hold("query-name", true)
	w := newWorld(t, m.dial)
	w.make()
	read, err := w.bridge.Reach(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if name := w.bridge.Name(); name != "" {
		t.Errorf("Name = %q before it was told", name)
	}
	m.nextHeld().Return(`{"name": "vm7"}`)
	if err := read(); err != nil {
		t.Fatal(err)
	}
	if name := w.bridge.Name(); name != "vm7" {
		t.Errorf("Name = %q", name)
	}
}
