package bridge_test

import (
	"testing"

	"qmp-dbus-bridge/e2e/rig"
	"qmp-dbus-bridge/qmp/qmptest"
)

const setLink = busName + ".Net.SetLink"

// TestSetLink has links set down and up, by the object, by its netdev and by any way of calling set_link: who may read hears it,
// and who called finds it shown.
func TestSetLink(t *testing.T) {
	m := newMachine(t, furnishedOf(t, "qmp-schema-7.2.22-x86_64.json"))
	w := serve(t, m)
	c, signals := w.as(admin), w.as(viewer).everything()
	link := func(nic string) any { return c.objects()["net/"+nic]["Link"] }
	if _, err := c.call(at("net/nic0"), setLink, false); err != nil || link("nic0") != false || link("nic1") != true {
		t.Errorf("SetLink: %v, links %v and %v", err, link("nic0"), link("nic1"))
	}
	told(t, signals, "! net/nic0 map[Link:false]")
	if _, err := c.call(qmpPath, busName+".QMP.SetLink", "net0", true); err != nil {
		t.Error(err)
	}
	told(t, signals, "! net/nic0 map[Link:true]")
	if _, err := c.call(qmpPath, callJSON, "set_link", `{"name": "nic1", "up": false}`); err != nil {
		t.Error(err)
	}
	told(t, signals, "! net/nic1 map[Link:false]")
	m.script("set_link", func(_ *qmptest.QEMU, r *qmptest.Request) { r.Fail("DeviceNotFound", "Device 'nic1' not found") })
	if _, err := c.call(at("net/nic1"), setLink, true); errorName(err) != ourError+"Qmp.DeviceNotFound" || link("nic1") != false {
		t.Errorf("SetLink that is refused: %v, link %v", err, link("nic1"))
	}
	m.answer(`human-monitor-command {"command-line":"info network"}`, `"nic0: index=0,type=nic,model=virtio-net-pci,macaddr=52:54:00:00:00:99"`)
	m.client().Event("NIC_RX_FILTER_CHANGED", `{"name": "nic0", "path": "/machine/peripheral/nic0/virtio-backend"}`)
	told(t, signals, "- net/nic1", "! net/nic0 map[MAC:52:54:00:00:00:99]")
}

// TestLinksOfAnotherQEMU has a QEMU come back: links are up again, as far as can be known.
func TestLinksOfAnotherQEMU(t *testing.T) {
	m := newMachine(t, furnishedOf(t, "qmp-schema-7.2.22-x86_64.json"))
	w := serve(t, m)
	c := w.as(admin)
	if _, err := c.call(at("net/nic0"), setLink, false); err != nil {
		t.Fatal(err)
	}
	m.die()
	rig.Eventually(t, "QEMU has gone", func() bool { return len(c.objects()) == 0 })
	m.listen(qmptest.Options{})
	rig.Eventually(t, "QEMU is back", func() bool { return c.objects()["net/nic0"]["Link"] == true })
}

// TestNICsWithoutMonitorForPeople has a QEMU that refuses human-monitor-command, or answers it with what is no text.
func TestNICsWithoutMonitorForPeople(t *testing.T) {
	for _, answer := range []func(*qmptest.Request){
		func(r *qmptest.Request) { r.Fail("CommandNotFound", "no") },
		func(r *qmptest.Request) { r.Return(`["nic0: index=0,type=nic,"]`) },
	} {
		m := newMachine(t, furnished(t))
		m.script("human-monitor-command", func(_ *qmptest.QEMU, r *qmptest.Request) { answer(r) })
		all := serve(t, m).as(viewer).objects()
		if all["net/nic0"] != nil || all["device/nic0"]["Bus"] != "pcie.0" {
			t.Errorf("objects %v", all)
		}
	}
}
