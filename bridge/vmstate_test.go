package bridge_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"qmp-dbus-bridge/bridge"
	"qmp-dbus-bridge/e2e/rig"
	"qmp-dbus-bridge/qmp/qmptest"
)

const ourObject = "qmp-dbus-bridge-vmstate"

var vmstateAll = &bridge.VMState{NewBus: true}

// vmstateAdd is the command that adds the object on a bus, with the members that are before qom-type.
func vmstateAdd(address, idList string) string {
	if idList != "" {
		idList = `"id-list":"` + idList + `",`
	}
	return fmt.Sprintf(`object-add {"addr":%q,"id":%q,%s"qom-type":"dbus-vmstate"}`, address, ourObject, idList)
}

// TestVMStateCheck has Ids that QEMU's id-list can hold, and others, by which the bridge does not join.
func TestVMStateCheck(t *testing.T) {
	many := make([]string, 65)
	for i := range many {
		many[i] = fmt.Sprint(i)
	}
	for want, ids := range map[string][]string{
		"":                             append(many[:63:63], strings.Repeat("x", 255)),
		"65 Ids; 64 are the most":      many,
		"an Id is empty":               {"a", ""},
		`the Id "\xff" is not UTF-8`:   {"\xff"},
		"an Id has 256 bytes; 255 are": {strings.Repeat("x", 256)},
		`the Id "a,b" has a comma`:     {"a,b"},
		`the Id "a" is there twice`:    {"a", "b", "a"},
	} {
		state := bridge.VMState{IDs: ids}
		err := state.Check()
		if want == "" && err != nil || want != "" && (err == nil || !strings.HasPrefix(err.Error(), want)) {
			t.Errorf("Check of %.40q = %v, want %s", ids, err, want)
		}
	}
}

// TestVMState has QEMU get its object, when the bridge joins the bus and when QEMU comes back: not one more than it can have.
func TestVMState(t *testing.T) {
	const del = `object-del {"id":"` + ourObject + `"}`
	for name, test := range map[string]struct {
		state  bridge.VMState
		id     string // of the one that it has; empty: none
		other  bool   // that is on another bus
		joins  []string
		comes  []string // when QEMU comes back, the same
		failed string   // at the start
	}{
		"none":               {bridge.VMState{}, "", false, []string{"add"}, []string{"add"}, ""},
		"none, with Ids":     {bridge.VMState{IDs: []string{"a", "b"}}, "", false, []string{"add a,b"}, []string{"add a,b"}, ""},
		"one of QEMU's own":  {bridge.VMState{NewBus: true}, "vmstate0", false, nil, nil, ""},
		"ours":               {bridge.VMState{}, ourObject, false, nil, nil, ""},
		"ours of an old bus": {bridge.VMState{NewBus: true}, ourObject, false, []string{del, "add"}, nil, ""},
		"ours, other Ids":    {bridge.VMState{IDs: []string{"a"}}, ourObject, false, []string{del, "add a"}, []string{del, "add a"}, ""},
		"ours elsewhere":     {bridge.VMState{}, ourObject, true, []string{del, "add"}, []string{del, "add"}, ""},
		"Ids that are none":  {bridge.VMState{IDs: []string{"a,b"}}, "", false, nil, nil, `the Id "a,b" has a comma`},
		"QEMU's elsewhere":   {bridge.VMState{}, "vmstate0", true, nil, nil, "its object vmstate0 of type dbus-vmstate is on another bus: remove it by object-del"},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMigrating(t, schema7)
			w := newWorld(t, m.dial)
			w.state = &test.state
			if test.id != "" {
				address := w.bus.Address
				if test.other {
					address = "unix:path=/run/other"
				}
				m.hasVMState(test.id, address, "")
			}
			if err := w.connect(); err != nil {
				t.Fatal(err)
			}
			if err := w.bridge.Join(t.Context(), w.bus.Address, w.policy()); err != nil || test.failed != "" {
				if err == nil || !strings.Contains(err.Error(), test.failed) || test.failed == "" {
					t.Errorf("Join = %v, want %q", err, test.failed)
				}
				return
			}
			told := func(want []string) {
				t.Helper()
				for i := range want {
					if ids, is := strings.CutPrefix(want[i], "add"); is {
						want[i] = vmstateAdd(w.bus.Address, strings.TrimSpace(ids))
					}
				}
				if diff := cmp.Diff(want, m.commands()); diff != "" {
					t.Errorf("QEMU was told (-want +got):\n%s", diff)
				}
			}
			told(test.joins)
			w.run()
			c := w.as(admin)
			m.die()
			rig.Eventually(t, "QEMU has gone", func() bool { return !get[bool](c, "Connected") })
			m.listen(qmptest.Options{})
			rig.Eventually(t, "QEMU is back", func() bool { return get[bool](c, "Connected") })
			if test.comes != nil {
				rig.Eventually(t, "QEMU has its object", func() bool {
					return m.counts()["object-add"] == 2
				})
			}
			w.sync()
			told(test.comes)
		})
	}
}

// TestVMStateRefused has a QEMU that can't have the object: the start fails and says what to do; later the log tells, and all
// else works.
func TestVMStateRefused(t *testing.T) {
	m := newMigrating(t, schema7)
	refuse := func(_ *qmptest.QEMU, r *qmptest.Request) { r.Fail("GenericError", "secret words") }
	m.script("object-add", refuse)
	w := newWorld(t, m.dial)
	w.state = vmstateAll
	if err := w.connect(); err != nil {
		t.Fatal(err)
	}
	err := w.bridge.Join(t.Context(), w.bus.Address, w.policy())
	want := "QEMU can't migrate the state of helpers: object-add of type dbus-vmstate: GenericError; has this QEMU that type, and can its user reach the bus " + w.bus.Address + " (docs/bus.md)?"
	if err == nil || err.Error() != want {
		t.Errorf("Join = %v, want %s", err, want)
	}

	m = newMigrating(t, schema7)
	w = newWorld(t, m.dial)
	var log logBuffer
	w.state, w.log = vmstateAll, &log
	w.join()
	w.run()
	c := w.as(admin)
	m.script("object-add", refuse)
	m.die()
	rig.Eventually(t, "QEMU has gone", func() bool { return !get[bool](c, "Connected") })
	m.listen(qmptest.Options{})
	rig.Eventually(t, "the log tells", func() bool { return strings.Contains(log.String(), "no state of helpers will migrate") })
	if strings.Contains(log.String(), "secret") {
		t.Errorf("QEMU's words are in the log: %s", log.String())
	}
	if err := c.migration("Start", to("tcp:x"), none); errorName(err) != ourError+"HelpersNotReady" {
		t.Errorf("Start = %v, want HelpersNotReady", err)
	}
	if err := c.migration("Start", to("tcp:x"), variants("helpers", "warn")); err != nil {
		t.Error(err)
	}
}
