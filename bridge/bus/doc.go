// Package bus is the private D-Bus of one VM: who may do what on it, as a
// configuration for dbus-daemon or dbus-broker, and the dbus-daemon process itself.
//
// # The two doors
//
// The bus's socket is DIR/bus and dbus-daemon makes it 0777, so the directory
// is the first door: 0700 while nobody but root and the owner is granted
// anything, 0750 where it is for one group ([Config.Group]), else 0711, which lets
// others pass but not look. Its owner is the daemon's user, who makes the socket.
// The second door is the bus's connect rule, which names the granted uids and
// gids and refuses everybody else, root's and the bridge's uid excepted.
//
// # Who may do what
//
//	subject        own                    send                              receive
//	bridge         the bus name           signals of its own interfaces;    method calls
//	                                      Properties.Get of the object
//	                                      /org/qemu/VMState1
//	caller         nothing                method calls to the bus name      the bridge's signals
//	helper         org.qemu.Helper1 and   as a caller                       as a caller; method calls
//	               below, VMState1
//	display client nothing                as a caller; method calls of      as a caller; QEMU's signals
//	                                      QEMU's display
//	QEMU           org.qemu               method calls to the object        method calls
//	                                      /org/qemu/VMState1, signals;
//	                                      never to the bus name
//	everybody else nothing                may not even connect
//
// Callers are root, the bridge's own uid, and all who are granted something; root
// and the bridge's uid may besides call anything of org.qemu, ask the bus for others'
// credentials, and watch it, as far as the daemon lets them: dbus-daemon takes
// monitors from root and from its own uid alone. Everyone may send the replies that were
// asked for, and may call those methods of the bus itself that an ordinary client needs. All rules are
// allow-lists under a deny of everything. What a caller may do with the bridge
// is decided by the bridge, for each call; the bus only keeps out those who
// may do nothing.
//
// Only the bridge may own, or queue for, the bus name. Helpers may not call each other.
// Display clients reach QEMU's screens, keys and sound, and not its character
// devices, of which one may be a monitor. A call of QEMU's to a display client
// (the clipboard) is not let through.
//
// # QEMU's uid
//
// QEMU may not call the bridge: a guest that has taken it over would be asking its
// own keeper. The bus denies it whatever its groups are granted. Where
// its uid is root's or the bridge's own there is nothing to tell it by, and
// it may do there what these may: give QEMU a uid of its own.
//
// # Numbers, and users that don't exist
//
// Rules name users and groups by number, which dbus-daemon 1.14 and dbus-broker
// 33 both take, provided that the user or group database knows the number: a
// rule for an unknown one is skipped with a message, and a uid without an entry
// can't connect. dbus-daemon 1.14 takes a user's groups from the database too,
// dbus-broker (and dbus-daemon from 1.15) from the connecting process.
//
// # Where the buses differ
//
// The tests have one matrix of verdicts for both. What is left of differences:
//
//   - dbus-broker up to 37 ignores groups in its connect rule, so members of a granted
//     group are refused there unless their uid is granted.
//   - dbus-broker up to 37 takes own="x" as own_prefix="x": an owner may have
//     names below its own too. So QEMU may own org.qemu.Other there, and is denied the
//     bridge's and the helpers' names by rules of their own.
//   - dbus-broker 33 doesn't count who queues for a name as its owner when it
//     looks for who may be sent to, and doesn't know send_destination_prefix. So QEMU's calls
//     to helpers go by the object's path.
//
// # Files
//
// [Start] makes DIR, holds a lock on it while the bus lives, and writes
// DIR/bus.conf; [Daemon.Close] removes what Start made. After a crash the next
// Start finds and replaces the remains.
//
//	daemon, err := bus.Start(ctx, bus.Config{
//		Dir: "/run/vm7", Bridge: uid, Callers: bus.Subjects{UIDs: []uint32{1000}},
//	})
//	if err != nil {
//		return err
//	}
//	defer daemon.Close()
//	conn, err := dbus.Connect(daemon.Address())
package bus
