package trusted_test

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"qmp-dbus-bridge/bridge/trusted"
	"qmp-dbus-bridge/e2e/rig"
)

// TestRemoveSocket has something at the path: only a socket at which nobody listens goes.
func TestRemoveSocket(t *testing.T) {
	for name, test := range map[string]struct {
		make func(path string) error
		want string // in the error; "" if it is removed
	}{
		"left over": {func(path string) error {
			l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
			if err != nil {
				return err
			}
			l.SetUnlinkOnClose(false)
			return l.Close()
		}, ""},
		"in use": {func(path string) error {
			l, err := net.Listen("unix", path)
			if err == nil {
				t.Cleanup(func() { l.Close() })
			}
			return err
		}, " is the socket of a program that is running"},
		"one of datagrams": {func(path string) error { // by which there is no telling
			l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
			if err == nil {
				t.Cleanup(func() { l.Close() })
			}
			return err
		}, " may be the socket of a program that is running: dial unix PATH: connect: protocol wrong type for socket"},
		"a file":      {func(path string) error { return os.WriteFile(path, nil, 0o600) }, " is there, and is no socket"},
		"a directory": {func(path string) error { return os.Mkdir(path, 0o700) }, " is there, and is no socket"},
		"a link":      {func(path string) error { return os.Symlink("nowhere", path) }, " is there, and is no socket"},
	} {
		path := filepath.Join(rig.TempDir(t), "socket")
		if removed, err := trusted.RemoveSocket(path); removed || err != nil {
			t.Errorf("%s: before it is there: %v, %v", name, removed, err)
		}
		test.want = strings.ReplaceAll(test.want, "PATH", path)
		if err := test.make(path); err != nil {
			t.Fatal(err)
		}
		removed, err := trusted.RemoveSocket(path)
		_, gone := os.Lstat(path)
		switch {
		case test.want == "" && (!removed || err != nil || !os.IsNotExist(gone)):
			t.Errorf("%s: %v, %v, want it removed", name, removed, err)
		case test.want != "" && (removed || err == nil || !strings.HasSuffix(err.Error(), path+test.want) || gone != nil):
			t.Errorf("%s: %v, %v, want that it%s", name, removed, err, test.want)
		}
	}
}
