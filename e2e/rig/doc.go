// Package rig is what end-to-end tests stand on: real QEMUs, private buses
// (dbus-daemon and dbus-broker), programs run as other users, a Linux guest that takes
// commands, and what to ask a process from outside.
//
// Everything that a test starts through rig ends with the test: each process is
// remembered by its own id, asked to end, then killed, and the kernel kills it
// if the test binary dies. Waiting always has a deadline, [Timeout], and an error
// that says what was waited for and what the process had printed. All
// sockets are Unix sockets in directories of [TempDir], which other users can
// pass but not list.
//
// What a machine lacks makes a test skip and say so; with E2E_REQUIRE=1 in the
// environment, which CI sets, it makes the test fail. See [Require] and
// [RequireRoot].
//
//	rig.Require(t, "qemu-system-x86_64", "busctl")
//	vm := rig.StartQEMU(t, rig.QEMU{})
//	bridge := rig.Start(t, exec.Command(binary, "serve", "--qmp", vm.Monitors[0]))
//	bridge.WaitOutput(t, "bus=")
//
// A guest is a QEMU that runs Linux, and a shell in that:
//
//	guest := rig.StartGuest(t, rig.QEMU{})
//	guest.Await(t, "test -b /dev/vda")
//	size := guest.Run(t, "cat /sys/block/vda/size")
package rig
