package sandbox_test

import (
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Numbers of linux/include/uapi/asm-generic that package unix doesn't have.
const (
	fioAsync    = 0x5452 // FIOASYNC
	fioSetOwner = 0x8901 // FIOSETOWN
)

// deniedSignals would reach other processes than our children, which landlock can't tell from others.
var deniedSignals = []act{
	{"call/signal to a group", func(*stage) error { return unix.Kill(0, 0) }},
	{"call/signal to a group of another", func(*stage) error { return unix.Kill(-os.Getppid(), 0) }},
	{"call/signal to all", func(*stage) error { return unix.Kill(-1, 0) }},
	{"call/signal by tkill", func(*stage) error { return raw(unix.SYS_TKILL, uintptr(os.Getppid())) }},
	{"call/signal by rt_sigqueueinfo", func(*stage) error { return raw(unix.SYS_RT_SIGQUEUEINFO, uintptr(os.Getppid())) }},
	{"call/signal by rt_tgsigqueueinfo", func(*stage) error { return raw(unix.SYS_RT_TGSIGQUEUEINFO, uintptr(os.Getppid())) }},
	{"call/signal by process descriptor", func(s *stage) error { return unix.PidfdSendSignal(s.other, 0, nil, 0) }},
	{"call/descriptor of the peer's process", func(*stage) error { return getOption(unix.SOL_SOCKET, unix.SO_PEERPIDFD) }},
	{"call/descriptors of senders' processes", func(*stage) error { return setOption(unix.SOL_SOCKET, unix.SO_PASSPIDFD) }},
	{"call/read an option of another level", func(*stage) error { return getOption(unix.IPPROTO_TCP, unix.SO_TYPE) }},
	{"call/set an option of another level", func(*stage) error { return setOption(unix.IPPROTO_TCP, unix.SO_BROADCAST) }},
	{"call/owner of a descriptor", func(*stage) error { return control(unix.F_SETOWN, os.Getppid()) }},
	{"call/owner of a descriptor by structure", func(*stage) error {
		const ownerIsProcess = 1 // F_OWNER_PID
		owner := [2]int32{ownerIsProcess, int32(os.Getppid())}
		return raw3(unix.SYS_FCNTL, 0, unix.F_SETOWN_EX, unsafe.Pointer(&owner))
	}},
	{"call/owner of a descriptor by ioctl", func(*stage) error { return unix.IoctlSetPointerInt(0, fioSetOwner, os.Getppid()) }},
	{"call/owner of a socket by ioctl", func(*stage) error { return unix.IoctlSetPointerInt(0, unix.SIOCSPGRP, os.Getppid()) }},
	{"call/signal of a descriptor", func(*stage) error { return control(unix.F_SETSIG, int(unix.SIGKILL)) }},
	{"call/signals at input", func(*stage) error { return control(unix.F_SETFL, unix.O_ASYNC|unix.O_NONBLOCK) }},
	{"call/signals at input by ioctl", func(*stage) error { return unix.IoctlSetPointerInt(0, fioAsync, 1) }},
	{"call/signals at changes", func(*stage) error { return control(unix.F_NOTIFY, 0) }},
	{"call/signals at opening", func(*stage) error { return control(unix.F_SETLEASE, unix.F_RDLCK) }},
	{"call/size of a pipe", func(*stage) error { return control(unix.F_SETPIPE_SZ, os.Getpagesize()) }},
}

func control(command, argument int) error {
	_, err := unix.FcntlInt(0, command, argument)
	return err
}

func getOption(level, name int) error {
	return onSocket(func(fd int) error { _, err := unix.GetsockoptInt(fd, level, name); return err })
}

func setOption(level, name int) error {
	return onSocket(func(fd int) error { return unix.SetsockoptInt(fd, level, name, 1) })
}

// onSocket uses a socket that is connected.
func onSocket(use func(fd int) error) error {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(pair[0])
	defer unix.Close(pair[1])
	return use(pair[0])
}
