// Package e2e tests the built program as its users meet it: real QEMU, real dbus-daemon and
// dbus-broker, real users, busctl and gdbus. It sees nothing but the binary and the bus.
//
// What a user types is in testdata as transcripts (testscript); what needs many calls at
// once, or a process to die at the right moment, is in Go. Both run against QEMU as
// rig starts it; the environment variable QEMU names another one than Debian's.
//
// That QEMU runs firmware only, unless the test has to see what a guest makes of it: whether a disk
// that was plugged in is there, whether the power button was heard. Then it is Linux, from Debian's
// packages, as guest.sh beside this file makes it and guest.init runs it: see rig.StartGuest.
//
// A machine that lacks a program, or root, makes tests skip and say what is missing; with
// E2E_REQUIRE=1 (set it in CI) they fail.
package e2e
