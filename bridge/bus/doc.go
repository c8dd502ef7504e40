// Package bus is the private D-Bus of one VM: who may do what on it, as a
// configuration for dbus-daemon, and the dbus-daemon process itself.
//
// # The two doors
//
// The bus's socket is DIR/bus and dbus-daemon makes it 0777, so the directory
// is the first door: 0700 while nobody but root and our own uid is granted
// anything, else 0711, which lets others pass but not look. The second door is
// the bus's connect rule, which names the granted uids and gids and refuses
// everybody else, root's and the bridge's uid excepted.
//
// # Who may do what
//
//	subject        own           send                              receive
//	bridge         the bus name  signals of its own interfaces     method calls
//	caller         nothing       method calls to the bus name      the bridge's signals
//	QEMU           org.qemu      nothing, never to the bus name    method calls
//	everybody else nothing       may not even connect
//
// Callers are root, the bridge's own uid, and the granted uids and gids; root
// and the bridge's uid may besides call org.qemu and ask the bus for others'
// credentials. Everyone may send the replies that were asked for, and may call
// those methods of the bus itself that an ordinary client needs. All rules are
// allow-lists under a deny of everything. What a caller may do with the bridge
// is decided by the bridge, for each call; the bus only keeps out those who
// may do nothing.
//
// # Numbers, and users that don't exist
//
// Rules name users and groups by number, which dbus-daemon 1.14 and dbus-broker
// 33 both take, provided that the user or group database knows the number: a
// rule for an unknown one is skipped with a message, and a uid without an entry
// can't connect. dbus-daemon 1.14 takes a user's groups from the database too,
// dbus-broker (and dbus-daemon from 1.15) from the connecting process.
// dbus-broker up to 37 ignores groups in its connect rule (a bug of its own), so
// members of a granted group are refused there unless their uid is granted.
//
// # Files
//
// [Start] makes DIR, holds a lock on it while the bus lives, and writes
// DIR/bus.conf; [Daemon.Close] removes what Start made. After a crash the next
// Start finds and replaces the remains.
//
//	daemon, err := bus.Start(ctx, bus.Config{Dir: "/run/vm7", Bridge: uid, UIDs: []uint32{1000}})
//	if err != nil {
//		return err
//	}
//	defer daemon.Close()
//	conn, err := dbus.Connect(daemon.Address())
package bus
