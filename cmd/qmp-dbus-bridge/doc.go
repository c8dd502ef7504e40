// Command qmp-dbus-bridge shows a QEMU virtual machine as org.qemu.VM1 on a D-Bus, and
// forwards what callers ask as QMP commands after checking who they are and what they
// may do.
//
//	qmp-dbus-bridge serve --qmp PATH [flags]
//	qmp-dbus-bridge run [flags] -- qemu-system-x86_64 ...
//	qmp-dbus-bridge bus-config [flags]
//	qmp-dbus-bridge introspect --qmp PATH
//	qmp-dbus-bridge policy show [--classes | EXAMPLE]
//	qmp-dbus-bridge policy check [flags] FILE...
//	qmp-dbus-bridge policy explain [flags] --uid N ACTION [JSON]
//
// serve attaches to a QEMU that runs already; when it ends, the bridge waits for it to come back.
// run starts QEMU with its monitor on a socket pair, so that there is no socket in the file
// system, and ends with QEMU's exit status.
//
// bus-config prints the configuration that they would start a bus with, for a dbus-daemon or
// dbus-broker that somebody else runs; then they are told of that by --bus.
//
// introspect prints what a QEMU would get on the bus. policy check tells what is wrong with policy files, a line each,
// and ends with 1 if anything is. policy explain tells what would be decided about a call, by which policy, and how the
// policies see the caller; it ends with 0 whatever that is.
//
// SIGHUP makes serve and run read the policy files again, all or nothing, and open the audit's file again.
//
// Before they join the bus, serve and run confine themselves: see package sandbox. Policy files and the audit's file
// are best in directories of their own, whose files stay within reach.
//
// serve and run start a private dbus-daemon unless --bus names a bus. When ready they print one line,
// bus=ADDRESS, to standard output, and tell systemd. Logs and, by default, the audit
// (docs/audit.md) go to standard error. --vmstate has QEMU migrate the state of helpers. --limit sets how much callers may have (docs/api.md). The exit status is 0 when ended as asked, 1 after a failure, 2 after
// a mistake in the command line.
package main
