// Package sandbox takes from the running process what it won't need again, for the case that
// somebody who talks to it takes it over.
//
//	lacks, err := sandbox.Config{Read: []string{"/etc/vm7"}, Children: []int{qemu.Pid}}.Enter()
//
// Whatever needs more than the table allows happens before: starting children, looking up
// users, opening files elsewhere. There is no way back, and what the process holds open stays
// usable. Children that exist are not touched; new ones can't be made.
//
// # What is promised after Enter
//
//	part               what it takes                                        since Linux
//	no new privileges  set-uid programs and file capabilities give nothing  3.5
//	seccomp            system calls that are not in the list of calls.go    3.17
//	landlock           files outside of Config's directories                5.13
//	                   abstract sockets and signals to others               6.12
//
// The parts hold for every thread of the process, those of the C library included, and for
// every one to come. Together:
//
//   - No program is executed, no process made, traced or read, no memory made executable, no
//     privilege or namespace changed, nothing mounted; no BPF, io_uring, userfaultfd or
//     keyring. Such a call kills the process at once: a bridge has no reason for it, and one that
//     was taken over gets no second try.
//   - No socket but Unix ones. Nothing listens but what did before, and only at Config.Accept are connections accepted.
//   - Files are opened for reading in Config.Read, made and written in Config.Append, removed in
//     Config.Unlink and Config.Remove; nothing is truncated, renamed, linked or made elsewhere. Beside a directory
//     of Config.Remove other empty ones can be removed. No file is made or becomes
//     set-uid, set-gid or one with capabilities: none runs as the process's user by its doing.
//   - Signals go to the process itself and Config.Children only, and by their ids: not through process
//     descriptors, which can't be had from sockets either, nor by the kernel at a descriptor's
//     input.
//   - Every other system call fails with EPERM, and does not kill: a call that the list wrongly
//     lacks shall be an error in the log, not the end of the bridge.
//
// # What is not
//
// Connecting to any Unix socket in the file system that the user may open is possible: landlock
// can tell them apart only since its ninth version. So a bridge that runs as root
// should not be trusted with more than root's own VMs. Capabilities stay. Rights to a
// directory hold for all below it: a program there can be overwritten, and where root or another
// with CAP_FSETID does it, it stays set-uid if it was. The id of a child that has ended can be another
// process's later, which can then be signalled. Without landlock the files are as open as to any process
// of the user, and without seccomp so are the system calls; [Config.Enter] says what
// the kernel lacks.
package sandbox
