package rig

import (
	"net"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"testing"

	"github.com/godbus/dbus/v5"
	"golang.org/x/sys/unix"
)

// User is a subject for tests to act as: a uid, its gid and no other group.
type User struct{ UID, GID uint32 }

// Users that every Debian has, of which none owns a file that a test meets.
// dbus-daemon refuses uids that the user database doesn't know.
var (
	Root  = User{0, 0}
	Alice = User{1, 1}  // daemon
	Bob   = User{2, 2}  // bin
	Carol = User{5, 60} // games, whose group is not its uid
	LP    = User{7, 7}
	Mail  = User{8, 8}
	News  = User{9, 9}
	UUCP  = User{10, 10}
	Proxy = User{13, 13}

	WWW    = User{33, 33}
	Backup = User{34, 34}
	List   = User{38, 38}
	IRC    = User{39, 39}
)

// Self is the user that the test runs as.
func Self() User { return User{uint32(os.Geteuid()), uint32(os.Getegid())} }

// Command is exec.Command for a program that runs as u, by setpriv(1). u must be
// able to reach the program and its files.
func (u User) Command(program string, args ...string) *exec.Cmd {
	id := []string{"--reuid", decimal(u.UID), "--regid", decimal(u.GID), "--clear-groups", "--", program}
	return exec.Command("setpriv", append(id, args...)...)
}

// Dial connects to the bus at address as u, with the credentials that the
// kernel and the bus then see, in the test's own process. It needs root unless u
// is the test's own user.
func (u User) Dial(address string, opts ...dbus.ConnOption) (*dbus.Conn, error) {
	var conn *dbus.Conn
	err := u.do(func() (err error) {
		conn, err = dbus.Dial(address, opts...)
		return err
	})
	if err != nil {
		return nil, err
	}
	if err := conn.Auth([]dbus.Auth{dbus.AuthExternal(decimal(u.UID))}); err != nil {
		conn.Close()
		return nil, err
	}
	if err := conn.Hello(); err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}

// MustDial is Dial for what must succeed; the connection ends with the test.
func (u User) MustDial(t testing.TB, address string, opts ...dbus.ConnOption) *dbus.Conn {
	t.Helper()
	conn, err := u.Dial(address, opts...)
	if err != nil {
		t.Fatalf("uid %d at %s: %v", u.UID, address, err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// DialUnix connects to the socket at path as u.
func (u User) DialUnix(path string) (conn *net.UnixConn, err error) {
	err = u.do(func() (err error) {
		conn, err = net.DialUnix("unix", nil, &net.UnixAddr{Name: path, Net: "unix"})
		return err
	})
	return conn, err
}

// do calls f on a thread that acts as u. Credentials belong to the thread in
// Linux, and those at connect(2) are what the peer sees. The raw system calls
// change this thread's alone, where package syscall's change the whole process's.
func (u User) do(f func() error) error {
	if u == Self() {
		return f()
	}
	result := make(chan error)
	go func() {
		runtime.LockOSThread() // for good: the thread ends with the goroutine
		result <- func() error {
			if err := u.become(); err != nil {
				return err
			}
			return f()
		}()
	}()
	return <-result
}

func (u User) become() error {
	if _, _, e := unix.RawSyscall(unix.SYS_SETGROUPS, 0, 0, 0); e != 0 {
		return e
	}
	gid, uid := uintptr(u.GID), uintptr(u.UID)
	if _, _, e := unix.RawSyscall(unix.SYS_SETRESGID, gid, gid, gid); e != 0 {
		return e
	}
	if _, _, e := unix.RawSyscall(unix.SYS_SETRESUID, uid, uid, uid); e != 0 {
		return e
	}
	return nil
}

func decimal(n uint32) string { return strconv.FormatUint(uint64(n), 10) }
