package e2e_test

import (
	"testing"

	"github.com/godbus/dbus/v5"

	"qmp-dbus-bridge/e2e/rig"
)

// TestAttackName has everybody, root too, try to take the bridge's name, wait for it or give it away.
func TestAttackName(t *testing.T) {
	besiege(t, func(t *testing.T, s *siege) {
		for _, user := range []rig.User{viewer, operator, helper, admin} {
			conn := user.MustDial(t, s.address)
			for _, name := range []string{busName, "org.qemu", "org.qemu.VM1.QMP", "org.freedesktop.DBus", "com.example.Other"} {
				for _, flags := range []dbus.RequestNameFlags{0, dbus.NameFlagReplaceExisting, dbus.NameFlagAllowReplacement | dbus.NameFlagDoNotQueue} {
					if reply, err := conn.RequestName(name, flags); err == nil {
						t.Errorf("uid %d, RequestName(%s, %d) = %v", user.UID, name, flags, reply)
					}
				}
			}
			if reply, err := conn.ReleaseName(busName); err == nil && reply == dbus.ReleaseNameReplyReleased {
				t.Errorf("uid %d released the name", user.UID)
			}
		}
		// The bridge's own uid, which is root here, may own it, and does not get it.
		for _, flags := range []dbus.RequestNameFlags{dbus.NameFlagReplaceExisting | dbus.NameFlagDoNotQueue, dbus.NameFlagReplaceExisting} {
			conn := rig.Root.MustDial(t, s.address)
			if reply, err := conn.RequestName(busName, flags); err == nil && reply == dbus.RequestNameReplyPrimaryOwner {
				t.Errorf("another connection of the bridge's uid took the name")
			}
		}
	})
}

// TestAttackForged has an administrator send signals and replies in the bridge's and in the bus's name,
// to all, to another caller, and to the bridge. Nobody receives them, and nobody becomes another by them.
func TestAttackForged(t *testing.T) {
	besiege(t, func(t *testing.T, s *siege) {
		forger, victim := s.as(admin), s.as(viewer)
		for _, rule := range []string{"type='signal'", "type='method_call'", "type='error'", "type='method_return'"} {
			victim.Send(t, rig.CallMessage("org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus", "AddMatch", rule))
			victim.Reply(t)
		}
		var bridgeName string
		if err := s.witness.BusObject().Call("org.freedesktop.DBus.GetNameOwner", 0, busName).Store(&bridgeName); err != nil {
			t.Fatal(err)
		}
		s.withstand(200, func(size int) {
			for serial := range size {
				for _, to := range []string{"", victim.Name, bridgeName, busName, "org.freedesktop.DBus"} {
					for _, m := range []dbus.Message{
						forgedSignal(to, qmpPath, eventsIf, "Shutdown", none, int64(1)),
						forgedSignal(to, vmPath, propsIf, "PropertiesChanged", busName, map[string]dbus.Variant{"Status": dbus.MakeVariant("paused")}, []string{}),
						forgedSignal(to, "/org/freedesktop/DBus", "org.freedesktop.DBus", "NameOwnerChanged", victim.Name, victim.Name, ""),
						forgedSignal(to, "/org/freedesktop/DBus", "org.freedesktop.DBus", "NameLost", busName),
						forgedReply(to, uint32(serial+1), map[string]dbus.Variant{"UnixUserID": dbus.MakeVariant(uint32(0))}),
						forgedReply(to, uint32(serial+1), "forged"),
					} {
						if to != "" || m.Type == dbus.TypeSignal {
							forger.Send(t, m)
						}
					}
				}
			}
			s.settled(forger)
		})
		if got, want := ask(t, victim, toBridge(vmPath, busName, "Pause")), dbusError+"AccessDenied"; got != want {
			t.Errorf("a viewer's Pause: %s, want %s", got, want)
		}
		// What the bridge itself says comes, and nothing of the forger's before.
		rig.DialMonitor(t, s.vm.Monitors[1]).Send(`{"execute":"system_reset"}`)
		for {
			m := victim.Read(t, rig.Timeout)
			if m == nil {
				t.Fatal("no signal came")
			}
			sender, _ := m.Headers[dbus.FieldSender].Value().(string)
			if sender == forger.Name {
				t.Fatalf("a forged message came: %v", m)
			}
			if sender == bridgeName && m.Headers[dbus.FieldMember].Value() == "Reset" {
				return
			}
		}
	})
}

// forgedSignal is a signal; to is empty for everybody.
func forgedSignal(to string, path dbus.ObjectPath, iface, member string, body ...any) dbus.Message {
	m := rig.CallMessage(to, path, iface, member, body...)
	m.Type = dbus.TypeSignal
	if to == "" {
		delete(m.Headers, dbus.FieldDestination)
	}
	return m
}

// forgedReply is an answer that nobody asked for.
func forgedReply(to string, serial uint32, body ...any) dbus.Message {
	return dbus.Message{
		Type: dbus.TypeMethodReply,
		Headers: map[dbus.HeaderField]dbus.Variant{
			dbus.FieldDestination: dbus.MakeVariant(to),
			dbus.FieldReplySerial: dbus.MakeVariant(serial),
			dbus.FieldSignature:   dbus.MakeVariant(dbus.SignatureOf(body...)),
		},
		Body: body,
	}
}

// TestAttackMethodsOfTheBus has a viewer use the bus itself against others: look who they are, watch
// them, change the bus's environment or configuration.
func TestAttackMethodsOfTheBus(t *testing.T) {
	besiege(t, func(t *testing.T, s *siege) {
		r := s.as(viewer)
		const bus, path = "org.freedesktop.DBus", dbus.ObjectPath("/org/freedesktop/DBus")
		for _, m := range []dbus.Message{
			rig.CallMessage(bus, path, bus, "GetConnectionCredentials", busName),
			rig.CallMessage(bus, path, bus, "GetConnectionUnixUser", busName),
			rig.CallMessage(bus, path, bus+".Monitoring", "BecomeMonitor", []string{}, uint32(0)),
			rig.CallMessage(bus, path, "", "BecomeMonitor", []string{}, uint32(0)),
			rig.CallMessage(bus, path, bus, "UpdateActivationEnvironment", map[string]string{"LD_PRELOAD": "x"}),
			rig.CallMessage(bus, path, bus, "ReloadConfig"),
			rig.CallMessage(bus, path, "", "ReloadConfig"),
			rig.CallMessage(bus, path, bus+".Debug.Stats", "GetStats"),
		} {
			if got, want := ask(t, r, m), dbusError+"AccessDenied"; got != want {
				t.Errorf("%v: %q, want %s", m.Headers[dbus.FieldMember], got, want)
			}
		}
		// Another client is none of its business either, nor can it be talked to.
		other := s.as(operator)
		r.Send(t, rig.CallMessage(other.Name, "/", "com.example.Peer", "Hello"))
		if got, want := r.Reply(t).Headers[dbus.FieldErrorName].Value(), dbusError+"AccessDenied"; got != want {
			t.Errorf("a call of another client: %v, want %s", got, want)
		}
	})
}
