package bridge_test

import (
	"strings"
	"testing"

	"github.com/godbus/dbus/v5"

	"qmp-dbus-bridge/e2e/rig"
)

// TestForgedCredentials has a stranger, on a bus that lets replies pass that nobody asked for,
// tell the bridge that everybody is root, as fast as it can: nobody becomes root by it.
func TestForgedCredentials(t *testing.T) {
	rig.RequireRoot(t)
	m := newMachine(t, nil)
	w := newWorld(t, m.dial)
	w.bus = rig.StartDaemon(t, strings.NewReplacer(
		`<allow send_destination="*"/>`, `<allow send_destination="*" eavesdrop="true"/>`,
		`<allow receive_sender="*"/>`, `<allow receive_sender="*" eavesdrop="true"/>`,
	).Replace(rig.Permissive))
	w.join()
	w.run()

	forger, witness := w.as(stranger), w.as(stranger)
	// The bridge's driver connection is the first on the bus.
	reply := func(to string, serial uint32) *dbus.Message {
		body := map[string]dbus.Variant{"UnixUserID": dbus.MakeVariant(uint32(0))}
		return &dbus.Message{
			Type: dbus.TypeMethodReply,
			Headers: map[dbus.HeaderField]dbus.Variant{
				dbus.FieldDestination: dbus.MakeVariant(to),
				dbus.FieldReplySerial: dbus.MakeVariant(serial),
				dbus.FieldSignature:   dbus.MakeVariant(dbus.SignatureOf(body)),
			},
			Body: []any{body},
		}
	}
	heard := make(chan *dbus.Message, 10)
	witness.Eavesdrop(heard)
	forger.Send(reply(witness.unique, 77), nil)
	rig.Eventually(t, "this bus delivers a forged reply", func() bool {
		select {
		case m := <-heard:
			return m.Type == dbus.TypeMethodReply && m.Headers[dbus.FieldSender].Value() == forger.unique
		default:
			return false
		}
	})
	witness.Eavesdrop(nil)

	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			for serial := uint32(1); serial < 100; serial++ {
				forger.Send(reply(":1.0", serial), nil)
			}
			select {
			case <-stop:
				return
			default:
			}
		}
	}()
	for range 5 {
		victim := w.as(stranger)
		if _, err := victim.execute("stop"); errorName(err) != dbusError+"AccessDenied" {
			t.Errorf("a stranger's stop: %v, want AccessDenied", err)
		}
		victim.Close()
	}
	close(stop)
	<-stopped
	if got := m.commands(); got != nil {
		t.Errorf("QEMU was told %q, want nothing", got)
	}
}
