package e2e_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"qmp-dbus-bridge/e2e/rig"
)

// The helpers at work in one guest.
var (
	tpmWorker     = worker{user: rig.LP, policy: "tpm", may: "query-tpm"}
	networkWorker = worker{user: rig.UUCP, policy: "network", may: "query-rx-filter", mayNot: [][2]string{
		{"set_link", `{"name":"nic1","up":false}`},
		{"netdev_del", `{"id":"net1"}`},
		{"announce-self", `{"initial":1,"max":1,"rounds":1,"step":1}`},
	}}
)

// TestHelpers has one helper of each kind at work beside a Linux guest, each a process with a uid of its own, and before it works try
// what is not its own.
func TestHelpers(t *testing.T) {
	rig.Require(t, "swtpm")
	workers := []worker{tpmWorker, networkWorker}
	tpm := startTPM(t)
	w := openWorkplace(t, rig.StartBroker, workers, func(address string) []string {
		return append([]string{
			"-display", "dbus,addr=" + address,
			"-chardev", "socket,id=chrtpm,path=" + tpm, "-tpmdev", "emulator,id=tpm0,chardev=chrtpm", "-device", "tpm-tis,id=tis0,tpmdev=tpm0",
		}, rig.SharedMemory...)
	})
	for _, one := range workers {
		t.Run("limits of "+one.policy, func(t *testing.T) { w.confined(t, one) })
	}
	t.Run("TPM", w.testTPM)
	t.Run("network service", w.testNetworkService)
}

// startTPM starts swtpm as the TPM's user, in QEMU's group, so that QEMU reaches its socket and nobody else does. It returns the socket.
func startTPM(t *testing.T) (socket string) {
	t.Helper()
	user := rig.User{UID: tpmWorker.user.UID, GID: cast.qemu.GID}
	dir := user.TempDir(t)
	if err := os.Chmod(dir, 0o710); err != nil {
		t.Fatal(err)
	}
	socket = filepath.Join(dir, "control")
	rig.Start(t, user.Command("swtpm", "socket", "--tpm2", "--tpmstate", "dir="+dir, "--ctrl", "type=unixio,mode=0660,path="+socket))
	rig.Eventually(t, "swtpm listens", func() bool {
		info, err := os.Stat(socket)
		return err == nil && info.Mode().Perm() == 0o660
	})
	return socket
}

// testTPM has the TPM's helper read what QEMU has, while the guest uses it.
func (w *workplace) testTPM(t *testing.T) {
	w.Run(t, "test -c /dev/tpm0 && test -s /sys/class/tpm/tpm0/pcr-sha256/0") // the kernel has talked with it
	p := w.start(t, tpmWorker.user, "tpm.py")
	if status, want := p.Wait(t), "tpm0 tpm-tis at chrtpm\n/org/qemu/VM1/device/tis0 tpm-tis\n"; status != 0 || p.Output() != want {
		t.Errorf("exit status %d:\n%s, want\n%s", status, p.Output(), want)
	}
}

// testNetworkService has a network service follow a card that comes, changes and goes.
func (w *workplace) testNetworkService(t *testing.T) {
	const mac, other = "52:54:00:00:00:0a", "52:54:00:00:00:0b"
	p := w.start(t, networkWorker.user, "cards.py")
	p.WaitOutput(t, "following\n")
	w.call(t, "NetdevAdd", "net1", "user", options("restrict", true))
	w.call(t, "DeviceAdd", "virtio-net-pci", options("id", "nic1", "netdev", "net1", "mac", mac, "bus", "rp1"))
	p.WaitOutput(t, "card /org/qemu/VM1/net/nic1 "+mac+" at net1\n")
	w.Await(t, "test -e /sys/class/net/eth0")
	w.Run(t, "ip link set eth0 up")
	p.WaitOutput(t, "filter nic1 "+mac+"\n")
	w.Run(t, "ip link set eth0 promisc on")
	p.WaitOutput(t, "filter nic1 "+mac+" and all others\n")
	w.Run(t, "ip link set eth0 promisc off; ip link set eth0 down; ip link set eth0 address "+other+"; ip link set eth0 up")
	p.WaitOutput(t, "filter nic1 "+other+"\n")
	p.WaitOutput(t, "changed /org/qemu/VM1/net/nic1 MAC "+other+"\n")
	w.object(t, "net/nic1", "Net.SetLink", false)
	p.WaitOutput(t, "changed /org/qemu/VM1/net/nic1 Link 0\n")
	w.object(t, "device/nic1", "Device.Unplug", options())
	p.WaitOutput(t, "gone /org/qemu/VM1/net/nic1\n")
	w.call(t, "NetdevDel", "net1")
	p.Stop()
	if strings.Contains(p.Output(), "Traceback") {
		t.Errorf("the service failed:\n%s", p.Output())
	}
}
