package socket

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// MaxGroups is how many groups PeerGroups can tell; the kernel's own limit (NGROUPS_MAX) is as high.
const MaxGroups = 65536

// PeerCredentials tells who connected or listened at the other end, as the
// kernel noted it at that time. After Close it fails with net.ErrClosed.
func (c *Conn) PeerCredentials() (*unix.Ucred, error) {
	if !c.use() {
		return nil, net.ErrClosed
	}
	defer c.users.Done()
	cred, err := unix.GetsockoptUcred(c.fd, unix.SOL_SOCKET, unix.SO_PEERCRED)
	return cred, os.NewSyscallError("getsockopt", err)
}

// PeerGroups tells the supplementary groups of whom PeerCredentials tells, in the kernel's order.
func (c *Conn) PeerGroups() ([]uint32, error) {
	if !c.use() {
		return nil, net.ErrClosed
	}
	defer c.users.Done()
	gids := make([]uint32, 64) // more than most users have
	for {
		size := uint32(len(gids) * 4) // bytes
		_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(c.fd), unix.SOL_SOCKET, unix.SO_PEERGROUPS,
			uintptr(unsafe.Pointer(&gids[0])), uintptr(unsafe.Pointer(&size)), 0)
		n := int(size) / 4
		switch {
		case errno == 0 && n <= len(gids):
			return gids[:n], nil
		case errno == unix.ERANGE && n > len(gids) && n <= MaxGroups: // size is what it would take
			gids = make([]uint32, n)
		case errno == 0 || errno == unix.ERANGE:
			return nil, fmt.Errorf("getsockopt: %d groups", n)
		default:
			return nil, os.NewSyscallError("getsockopt", errno)
		}
	}
}

// PeerLabel tells the security label of whom PeerCredentials tells, without its trailing NUL; it is empty where the kernel
// has none.
func (c *Conn) PeerLabel() (string, error) {
	if !c.use() {
		return "", net.ErrClosed
	}
	defer c.users.Done()
	label, err := unix.GetsockoptString(c.fd, unix.SOL_SOCKET, unix.SO_PEERSEC)
	if errors.Is(err, unix.ENOPROTOOPT) { // no security module that has any
		return "", nil
	}
	return strings.TrimRight(label, "\x00"), os.NewSyscallError("getsockopt", err)
}
