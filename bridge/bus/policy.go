package bus

import "strconv"

// driverMethods are the methods of org.freedesktop.DBus that everyone on the
// bus may call: what sd-bus, GDBus, libdbus, godbus and the tools built on them
// need to make calls, watch names and receive signals. ListActivatableNames and
// StartServiceByName tell and start nothing, since nothing here is activatable,
// but GDBus and python3-dbus call the latter before their first call to a name.
// RequestName is not among them: nearly nobody may own a name.
var driverMethods = []string{
	"Hello", "AddMatch", "RemoveMatch",
	"GetNameOwner", "NameHasOwner", "ListNames", "ListActivatableNames",
	"StartServiceByName", "GetId",
}

// ownerMethods are besides for those who may own a name.
var ownerMethods = []string{"RequestName", "ReleaseName"}

// trustedMethods are for the bridge's uid and for root: they tell uid, pid, groups and
// security label of others, by which the bridge knows its callers and `busctl
// list` and `busctl status` show them. The same two, who may do all anyway, may
// watch the bus with `busctl monitor`.
var trustedMethods = []string{
	"GetConnectionCredentials", "GetConnectionUnixUser", "GetConnectionUnixProcessID",
}

// signalInterfaces are the interfaces of the signals that the bridge sends.
var signalInterfaces = []string{
	"org.qemu.VM1", "org.qemu.VM1.Job", "org.qemu.VM1.QMP.Events", "org.freedesktop.DBus.Properties",
	"org.freedesktop.DBus.ObjectManager",
}

// defaultPolicy says who may connect, denies all else, and allows everyone the
// replies that were asked for and the ordinary methods of the bus itself.
func (c Config) defaultPolicy(d *document) {
	d.policy("context", "default", func() {
		d.deny("user", "*")
		c.connectors().each(func(kind string, n uint32) { d.allow(kind, id(n)) })
		d.deny("own", "*")
		d.deny("send_destination", "*")
		d.deny("receive_sender", "*")
		for _, kind := range []string{"method_return", "error"} {
			d.allow("send_type", kind, "send_requested_reply", "true")
			d.allow("receive_type", kind, "receive_requested_reply", "true")
		}
		d.allow("receive_sender", driverName)
		d.driver(driverMethods...)
		d.allow("send_destination", driverName, "send_interface", "org.freedesktop.DBus.Peer")
		d.allow("send_destination", driverName, "send_interface", "org.freedesktop.DBus.Introspectable")
		for _, member := range []string{"Get", "GetAll"} {
			d.allow("send_destination", driverName, "send_interface", "org.freedesktop.DBus.Properties", "send_member", member)
		}
	})
}

// bridgePolicy: the only owner of the bus name. Its interfaces are listed, so
// that nothing else of the same uid can speak for somebody else. It may see who queues with a
// state that migrates, and read what that is called, by path as QEMU does (qemuPolicy).
func (c Config) bridgePolicy(d *document) {
	d.policy("user", id(c.Bridge), func() {
		d.allow("own", c.name())
		d.driver(ownerMethods...)
		for _, name := range signalInterfaces {
			d.allow("send_type", "signal", "send_interface", name)
		}
		d.allow("receive_type", "method_call")
		d.driver("ListQueuedOwners")
		d.allow("send_path", vmstatePath, "send_interface", "org.freedesktop.DBus.Properties", "send_member", "Get", "send_type", "method_call")
	})
}

// callerPolicy: calls of any interface, since the bridge decides on each and
// refuses those without one; its signals come back.
func (c Config) callerPolicy(d *document, kind string, subject uint32) {
	d.policy(kind, id(subject), func() {
		d.allow("send_destination", c.name(), "send_type", "method_call")
		d.allow("receive_sender", c.name(), "receive_type", "signal")
		if kind == "user" && (subject == 0 || subject == c.Bridge) {
			c.trustedRules(d)
		}
	})
}

func (c Config) trustedRules(d *document) {
	d.driver(trustedMethods...)
	d.allow("send_destination", driverName, "send_interface", driverName+".Monitoring")
	if c.QEMU != nil {
		d.allow("send_destination", qemuName, "send_type", "method_call")
		d.allow("receive_sender", qemuName, "receive_type", "signal")
	}
}

// helperPolicy: names of its own, and calls that come. Who may call it is
// decided at the sender's side: only QEMU may, which has no name on the
// connection of its dbus-vmstate object.
func helperPolicy(d *document, kind string, subject uint32) {
	d.policy(kind, id(subject), func() {
		d.allow("own_prefix", helperPrefix)
		d.allow("own", vmstateName)
		d.driver(ownerMethods...)
		d.allow("receive_type", "method_call")
	})
}

// displayInterfaces are what a client of QEMU's display calls. Chardev is not among
// them: a character device named org.qemu.monitor.* is a raw QMP monitor, of which
// neither policy nor audit would know.
var displayInterfaces = []string{
	"org.qemu.Display1.VM", "org.qemu.Display1.Console", "org.qemu.Display1.Keyboard",
	"org.qemu.Display1.Mouse", "org.qemu.Display1.MultiTouch", "org.qemu.Display1.Audio",
	"org.qemu.Display1.Clipboard", "org.freedesktop.DBus.Introspectable", "org.freedesktop.DBus.Peer",
	"org.freedesktop.DBus.Properties", "org.freedesktop.DBus.ObjectManager",
}

// displaySignals are the interfaces of the signals that QEMU sends.
var displaySignals = []string{"org.freedesktop.DBus.Properties", "org.freedesktop.DBus.ObjectManager"}

func displayPolicy(d *document, kind string, subject uint32) {
	d.policy(kind, id(subject), func() {
		for _, name := range displayInterfaces {
			d.allow("send_destination", qemuName, "send_interface", name, "send_type", "method_call")
		}
		d.allow("receive_sender", qemuName, "receive_type", "signal")
	})
}

// qemuPolicy: QEMU has its own name, and calls the object of helpers whose state
// migrates; it finds them by the queue for the name. The rule goes by path
// because dbus-broker doesn't count a queue's members as owners, and must not go
// by send_destination_prefix, which dbus-broker 33 doesn't know.
//
// The denies come last. Those of send and receive outweigh what a granted group
// would allow it: rules for a user come after those for groups. Those of own are
// for that too, and for dbus-broker, which takes own="org.qemu" for all names
// below as well (own_prefix), up to 37 at least.
func (c Config) qemuPolicy(d *document, qemu uint32) {
	d.policy("user", id(qemu), func() {
		d.allow("own", qemuName)
		d.driver(ownerMethods...)
		d.driver("ListQueuedOwners")
		d.allow("receive_type", "method_call")
		d.allow("send_path", vmstatePath, "send_type", "method_call")
		for _, name := range displaySignals {
			d.allow("send_type", "signal", "send_interface", name)
		}
		d.deny("send_destination", driverName, "send_path", vmstatePath) // it takes calls at any path
		if qemu != c.Bridge {
			d.deny("own", c.name())
			d.deny("own_prefix", helperPrefix)
			d.deny("own", vmstateName)
		}
		if qemu != c.Bridge && qemu != 0 {
			d.deny("send_destination", c.name())
			d.deny("receive_sender", c.name(), "receive_type", "signal")
		}
	})
}

// mandatoryPolicy is the last word for all, root too: no looking into the daemon, no
// changes of its environment. It must not deny eavesdropping
// (eavesdrop="true"): as the last rule dbus-daemon takes that for a
// deny of every receive, and no allow rule above lets a copy through anyway.
func mandatoryPolicy(d *document) {
	d.policy("context", "mandatory", func() {
		for _, name := range []string{"Debug.Stats", "Verbose"} {
			d.deny("send_destination", driverName, "send_interface", driverName+"."+name)
		}
		d.deny("send_destination", driverName, "send_interface", driverName, "send_member", "UpdateActivationEnvironment")
	})
}

// driver allows methods of the bus itself, always with destination and interface.
func (d *document) driver(members ...string) {
	for _, m := range members {
		d.allow("send_destination", driverName, "send_interface", driverName, "send_member", m)
	}
}

func id(n uint32) string { return strconv.FormatUint(uint64(n), 10) }
