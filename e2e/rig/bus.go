package rig

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"
)

// Permissive is a bus configuration under which every user may do everything.
// dbus-broker 33 multiplies connections by bytes to a quota of 32 bits and ends at
// once if it overflows; 256 is the most with its default of 8 MiB a connection.
const Permissive = `<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>org.qemu.test</type>
  <listen>unix:path=/nonexistent/bus</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow user="*"/>
    <allow own="*"/>
    <allow send_destination="*"/>
    <allow receive_sender="*"/>
  </policy>
  <limit name="max_replies_per_connection">16384</limit>
  <limit name="max_connections_per_user">256</limit>
</busconfig>
`

// helloTimeout is how long a bus's answer may take before another try: the
// socket may take connections before there is anyone behind it.
const helloTimeout = time.Second

// Bus is a private bus for a test.
type Bus struct {
	Address string
	// Server is the id of the process that carries the messages: dbus-daemon
	// itself, or dbus-broker, which the Process launches.
	Server int
	*Process
}

// StartDaemon starts a dbus-daemon on the configuration, such as [Permissive];
// the address that this names is not used. It returns when the bus answers.
func StartDaemon(t testing.TB, config string) *Bus {
	t.Helper()
	Require(t, "dbus-daemon")
	path, address := newBus(t, config)
	cmd := exec.Command("dbus-daemon", "--nofork", "--nopidfile", "--address="+address, "--config-file="+path)
	b := &Bus{Address: address, Process: Start(t, cmd)}
	b.Server = b.PID()
	b.waitReady(t)
	return b
}

// newBus writes the configuration into a directory of its own.
func newBus(t testing.TB, config string) (path, address string) {
	t.Helper()
	dir := TempDir(t)
	path = filepath.Join(dir, "bus.conf")
	if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	return path, "unix:path=" + dbus.EscapeBusAddressValue(filepath.Join(dir, "bus"))
}

// waitReady waits until the bus says Hello or, to those who may not connect,
// answers at all.
func (b *Bus) waitReady(t testing.TB) {
	t.Helper()
	path := b.Address[len("unix:path="):]
	Eventually(t, "a bus answers at "+path, func() bool {
		if !Alive(b.PID()) {
			t.Fatalf("the bus has ended:\n%s", b.Output())
		}
		conn, err := net.Dial("unix", path)
		if err != nil {
			return false
		}
		defer conn.Close()
		_ = conn.SetDeadline(time.Now().Add(helloTimeout))
		if _, err := conn.Write([]byte("\x00AUTH\r\n")); err != nil {
			return false
		}
		_, err = conn.Read(make([]byte, 64))
		return err == nil
	})
}
