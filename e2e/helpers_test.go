package e2e_test

import (
	"compress/gzip"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/godbus/dbus/v5"

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
	diskWorker = worker{user: rig.WWW, policy: "vhost-user-blk", may: "chardev-add chardev-remove device_add device_del", mayNot: [][2]string{
		{"chardev-add", `{"id":"vdisk0","backend":{"type":"socket","data":{"server":false,"addr":{"type":"unix","data":{"path":"/run/dbus/system_bus_socket"}}}}}`},
		{"chardev-remove", `{"id":"chrtpm"}`},
		{"device_add", `{"driver":"virtio-blk-pci","id":"vdisk0","drive":"secret","bus":"vdisk-port"}`},
		{"device_del", `{"id":"data0"}`},
	}, mayNotPass: func(socket, _ dbus.UnixFD) [][]any {
		return [][]any{
			{"ChardevAdd", "virtiofs0", connected(socket)},
			{"ChardevChange", "vdisk0", connected(socket)},
		}
	}}
	fsWorker = worker{user: rig.Backup, policy: "virtiofs", may: "chardev-add chardev-remove device_add device_del", mayNot: [][2]string{
		{"chardev-remove", `{"id":"vdisk0"}`},
		{"device_add", `{"driver":"vhost-user-fs-pci","id":"virtiofs0","chardev":"chrtpm","tag":"shared","bus":"virtiofs-port"}`},
		{"device_add", `{"driver":"vhost-user-fs-pci","id":"virtiofs0","chardev":"virtiofs0","tag":"shared","bus":"vdisk-port"}`},
		{"device_del", `{"id":"vdisk0"}`},
	}, mayNotPass: func(socket, _ dbus.UnixFD) [][]any { return [][]any{{"ChardevAdd", "vdisk0", connected(socket)}} }}
	usernetWorker = worker{user: rig.List, policy: "usernet", may: "device_add device_del netdev_add netdev_del", mayNot: [][2]string{
		{"netdev_add", `{"type":"user","id":"usernet0"}`},
		{"netdev_add", `{"type":"tap","id":"usernet0","script":"/tmp/mine"}`},
		{"netdev_del", `{"id":"net1"}`},
		{"device_add", `{"driver":"virtio-net-pci","id":"usernic0","netdev":"net1","bus":"usernet-port"}`},
		{"device_del", `{"id":"data0"}`},
	}, mayNotPass: func(socket, _ dbus.UnixFD) [][]any {
		return [][]any{
			{"NetdevAdd", "usernet0", "tap", options("fd", socket)},
			{"NetdevAdd", "net1", "socket", options("fd", socket)},
			{"ChardevAdd", "usernet0", connected(socket)},
		}
	}}
	backupWorker = worker{
		user: rig.IRC, policy: "backup",
		may: "block-dirty-bitmap-add block-dirty-bitmap-clear block-dirty-bitmap-remove block-job-cancel block-job-set-speed " +
			"blockdev-add blockdev-backup blockdev-del job-cancel job-complete job-dismiss job-finalize job-pause job-resume " +
			"query-jobs transaction",
		mayNot: [][2]string{
			{"blockdev-backup", `{"job-id":"backup-0","device":"secret","target":"backup-disk0","sync":"full"}`},
			{"blockdev-backup", `{"job-id":"backup-0","device":"disk0","target":"secret","sync":"full"}`},
			{"blockdev-add", `{"node-name":"backup-disk0","driver":"raw","file":{"driver":"file","filename":"/etc/shadow"}}`},
			{"blockdev-add", `{"node-name":"backup-disk0","driver":"raw","file":"secret"}`},
			{"blockdev-del", `{"node-name":"disk0"}`},
			{"drive-backup", `{"job-id":"backup-0","device":"disk0","target":"/tmp/mine","sync":"full"}`},
			{"job-cancel", `{"id":"nightly"}`},
		},
		mayNotPass: func(_, file dbus.UnixFD) [][]any {
			opened := options("driver", "file", "filename", file)
			return [][]any{
				{"BlockdevAdd", "qcow2", options("node-name", "backup-disk0", "file", opened)}, // whose header may name others
				{"BlockdevAdd", "raw", options("node-name", "disk0", "file", opened)},
				{"BlockdevAdd", "file", options("node-name", "backup-disk0", "filename", file)},
			}
		},
	}
)

// TestHelpers has one helper of each kind at work beside a Linux guest, each a process with a uid of its own, and before it works try
// what is not its own.
func TestHelpers(t *testing.T) { onConfigured(t, testHelpers) }

func testHelpers(t *testing.T, start startBus) {
	rig.Require(t, "swtpm", "qemu-storage-daemon", "unshare", virtiofsd)
	workers := []worker{tpmWorker, networkWorker, diskWorker, fsWorker, usernetWorker, backupWorker}
	tpm, disk := startTPM(t), ownFile(t, cast.qemu, "disk0", "on the first disk")
	w := openWorkplace(t, start, workers, func(address string) []string {
		return append([]string{
			"-display", "dbus,addr=" + address,
			"-chardev", "socket,id=chrtpm,path=" + tpm, "-tpmdev", "emulator,id=tpm0,chardev=chrtpm", "-device", "tpm-tis,id=tis0,tpmdev=tpm0",
			"-blockdev", "raw,node-name=disk0,file.driver=file,file.filename=" + disk, "-device", "virtio-blk-pci,id=data0,drive=disk0",
			"-blockdev", "null-co,node-name=secret,size=1048576",
			"-device", "pcie-root-port,id=vdisk-port,chassis=5", "-device", "pcie-root-port,id=virtiofs-port,chassis=6",
			"-device", "pcie-root-port,id=usernet-port,chassis=7",
		}, rig.SharedMemory...)
	})
	for _, one := range workers {
		t.Run("limits of "+one.policy, func(t *testing.T) { w.confined(t, one) })
	}
	t.Run("TPM", w.testTPM)
	t.Run("network service", w.testNetworkService)
	t.Run("disk", w.testVhostUserBlk)
	t.Run("file system", w.testVirtiofs)
	t.Run("user networking", w.testUserNetworking)
	t.Run("backup", w.testBackup)
	w.clean(t)
}

// ownFile is a file of 1 MiB that begins with a text, in a folder that is u's alone.
func ownFile(t *testing.T, u rig.User, name, text string) (path string) {
	t.Helper()
	dir := u.TempDir(t)
	path = filepath.Join(dir, name)
	if err := errors.Join(
		os.WriteFile(path, append([]byte(text), make([]byte, 1<<20-len(text))...), 0o600),
		os.Chown(path, int(u.UID), int(u.GID)),
		os.Chmod(dir, 0o700),
	); err != nil {
		t.Fatal(err)
	}
	return path
}

// done runs a program of docs/helpers.md to its end, which must be a good one, and returns what it printed.
func (w *workplace) done(t *testing.T, u rig.User, program string, args ...string) string {
	t.Helper()
	p := w.start(t, u, program, args...)
	if status := p.Wait(t); status != 0 {
		t.Fatalf("%s %v: exit status %d:\n%s", program, args, status, p.Output())
	}
	return p.Output()
}

// clean checks that the helpers have left nothing in QEMU.
func (w *workplace) clean(t *testing.T) {
	t.Helper()
	rig.Eventually(t, "QEMU has no sets of descriptors", func() bool { return len(fdsets(t, w.conn)) == 0 })
	for _, path := range []string{"chardev/vdisk0", "chardev/virtiofs0", "device/usernic0", "job/backup_2d0"} {
		rig.Eventually(t, path+" is gone", func() bool { return objects(t, w.conn)[path] == nil })
	}
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
	want := "tpm0 tpm-tis at chrtpm\n/org/qemu/VM1/device/tis0 tpm-tis\n"
	if got := w.done(t, tpmWorker.user, "tpm.py"); got != want {
		t.Errorf("it printed %q, want %q", got, want)
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

// testVhostUserBlk has a disk served by qemu-storage-daemon, which the guest reads and writes.
func (w *workplace) testVhostUserBlk(t *testing.T) {
	u := diskWorker.user
	disk := ownFile(t, u, "disk.raw", "on the helper's disk")
	socket := filepath.Join(filepath.Dir(disk), "socket")
	daemon := rig.Start(t, u.Command("qemu-storage-daemon", "--blockdev", "file,node-name=disk,filename="+disk,
		"--export", "vhost-user-blk,id=export,node-name=disk,writable=on,addr.type=unix,addr.path="+socket))
	awaitSocket(t, daemon, socket)
	w.done(t, u, "vhost.py", "plug", "vhost-user-blk-pci", "vdisk0", socket, "bus=vdisk-port")
	w.Await(t, "test -b /dev/vdb")
	if got := w.Run(t, "head -c 20 /dev/vdb"); got != "on the helper's disk" {
		t.Errorf("the guest reads %q", got)
	}
	w.Run(t, "echo by the guest | dd of=/dev/vdb conv=notrunc,fsync 2>/dev/null")
	if got := readFile(t, disk)[:13]; got != "by the guest\n" {
		t.Errorf("the disk begins with %q", got)
	}
	w.done(t, u, "vhost.py", "unplug", "vdisk0")
	w.Run(t, "test ! -e /sys/block/vdb")
}

// awaitSocket waits until a program listens.
func awaitSocket(t *testing.T, p *rig.Process, path string) {
	t.Helper()
	rig.Eventually(t, "it listens at "+path, func() bool {
		if !rig.Alive(p.PID()) {
			t.Fatalf("it has ended:\n%s", p.Output())
		}
		_, err := os.Stat(path)
		return err == nil
	})
}

// testVirtiofs has a directory served by virtiofsd, which the guest mounts.
func (w *workplace) testVirtiofs(t *testing.T) {
	u := fsWorker.user
	dir := filepath.Dir(ownFile(t, u, "file", "from the host"))
	socket := dir + "/socket"
	daemon := rig.Start(t, u.Command("unshare", "--user", "--map-root-user", "--mount", "sh", "-c",
		"mount -t tmpfs run /run && exec "+virtiofsd+` --socket-path="$0/socket" -o source="$0" -o sandbox=chroot`, dir))
	awaitSocket(t, daemon, socket)
	w.done(t, u, "vhost.py", "plug", "vhost-user-fs-pci", "virtiofs0", socket, "bus=virtiofs-port", "tag=shared")
	w.Await(t, "test -e /sys/bus/virtio/drivers/virtiofs/virtio*")
	if got := w.Run(t, "mkdir -p /mnt && mount -t virtiofs shared /mnt && head -c 13 /mnt/file"); got != "from the host" {
		t.Errorf("the guest reads %q", got)
	}
	w.Run(t, "echo from the guest >/mnt/answer && umount /mnt")
	if got := readFile(t, dir+"/answer"); got != "from the guest\n" {
		t.Errorf("the guest's file has %q", got)
	}
	w.done(t, u, "vhost.py", "unplug", "virtiofs0")
}

// lease has the guest ask for an address, and prints it.
const lease = `printf '#!/bin/sh\ntest "$1" != bound || echo $ip $router >/tmp/lease\n' >/tmp/udhcpc && chmod 755 /tmp/udhcpc && ` +
	`ip link set eth0 up && udhcpc -i eth0 -n -q -t 10 -s /tmp/udhcpc >/dev/null 2>&1 && cat /tmp/lease`

// testUserNetworking has the guest get an address from a network that the helper makes.
func (w *workplace) testUserNetworking(t *testing.T) {
	p := w.start(t, usernetWorker.user, "usernet.py")
	p.WaitOutput(t, "plugged\n")
	w.Await(t, "test -e /sys/class/net/eth0")
	if got, want := w.Run(t, lease), "10.0.2.15 10.0.2.2"; got != want {
		t.Errorf("the guest's address and router: %q, want %q", got, want)
	}
	p.Signal(t, syscall.SIGTERM)
	if status := p.Wait(t); status != 0 {
		t.Errorf("exit status %d:\n%s", status, p.Output())
	}
	w.Run(t, "test ! -e /sys/class/net/eth0")
}

// testBackup has a disk to which the guest has written backed up into a file of the helper's own, which it packs.
func (w *workplace) testBackup(t *testing.T) {
	w.Run(t, "echo written by the guest | dd of=/dev/vda conv=notrunc,fsync 2>/dev/null")
	packed := filepath.Join(backupWorker.user.TempDir(t), "disk0.gz")
	if got, want := w.done(t, backupWorker.user, "backup.py", "data0", packed), "concluded 1.0 no error\n"; got != want {
		t.Errorf("the helper printed %q, want %q", got, want)
	}
	f, err := os.Open(packed)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	unpacked, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	content, err := io.ReadAll(unpacked)
	if err != nil || len(content) != 1<<20 || !strings.HasPrefix(string(content), "written by the guest\n") {
		t.Errorf("a backup of %d bytes, %v, that begins with %.21q", len(content), err, content)
	}
}
