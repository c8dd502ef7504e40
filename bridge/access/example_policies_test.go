package access_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"qmp-dbus-bridge/bridge/access"
	"qmp-dbus-bridge/bridge/action"
	"qmp-dbus-bridge/bridge/policytext"
)

// example is a shipped example with the grant that its comment asks for.
func example(t *testing.T, name string) *access.Authorizer {
	t.Helper()
	text, err := policytext.Example(name)
	if err != nil {
		t.Fatal(err)
	}
	_, grant, ok := strings.Cut(text, "--grant ")
	grant, _, _ = strings.Cut(strings.TrimRight(strings.Fields(grant)[0], ".,;"), "\n")
	if !ok {
		t.Fatalf("%s: no --grant in its comment", name)
	}
	parsed, err := access.ParseGrant(grant)
	if err != nil {
		t.Fatal(err)
	}
	rules, err := access.New(access.Config{VM: "vm7", BridgeUID: bridgeUID, Grants: []access.Grant{parsed}, Files: []string{policyFile(t, text)}})
	if err != nil {
		t.Fatal(err)
	}
	return rules
}

// Each example is right, reaches somebody, and is a file of the repository.
func TestExamplesAreRight(t *testing.T) {
	names := policytext.ExampleNames()
	files, err := filepath.Glob("../policytext/examples/*")
	if err != nil || len(files) != len(names) || len(names) < 4 {
		t.Errorf("examples %v, files %v, %v", names, files, err)
	}
	for _, name := range names {
		text, err := os.ReadFile("../policytext/examples/" + name + ".cedar")
		if got, _ := policytext.Example(name); err != nil || got != string(text) {
			t.Errorf("%s is not its file: %v", name, err)
		}
		if useless := example(t, name).Unreachable(true); useless != nil {
			t.Errorf("%s: %v", name, useless)
		}
	}
	if _, err := policytext.Example("../builtin"); err == nil || !strings.Contains(err.Error(), "there are backup, mcs, network, tpm, ui, usernet, vhost-user-blk, virtiofs") {
		t.Errorf("no such example: %v", err)
	}
}

// attempt is a command that somebody tries, or another action.
type attempt struct {
	command, arguments string
}

// try decides attempts of a caller, which must all be allowed or all be denied.
func try(t *testing.T, rules *access.Authorizer, caller *access.Caller, allowed bool, attempts []attempt) {
	t.Helper()
	for _, a := range attempts {
		asked := action.Command(a.command)
		if event, ok := strings.CutPrefix(a.command, "event:"); ok {
			asked = action.Event(event)
		}
		if a.command == "read-properties" {
			asked = action.ReadProperties()
		}
		got := rules.Decide(caller, asked, []byte(a.arguments))
		if got.Allowed() != allowed {
			t.Errorf("uid %d, %s %s: %v by %s, want %v", caller.UID, a.command, a.arguments, got.Allowed(), got.Policy(), allowed)
		}
	}
}

const fsBackend = `"backend":{"type":"socket","data":{"server":false,"addr":{"type":"unix","data":{"path":"/run/virtiofs/virtiofs0.sock"}}}}`

// fdBackend is a connection that the caller passes.
const fdBackend = `"backend":{"type":"socket","data":{"server":false,"addr":{"type":"fd","data":{"str":"fd:"}}}}`

func TestVirtiofsExample(t *testing.T) {
	rules := example(t, "virtiofs")
	may := []attempt{
		{"chardev-add", `{"id":"virtiofs0",` + fsBackend + `}`},
		{"chardev-add", `{"id":"virtiofs0",` + fdBackend + `}`},
		{"device_add", `{"driver":"vhost-user-fs-pci","id":"virtiofs0","chardev":"virtiofs0","tag":"shared"}`},
		{"device_add", `{"driver":"vhost-user-fs-pci","id":"virtiofs0","chardev":"virtiofs0","tag":"shared","bus":"virtiofs-port","queue-size":1024}`},
		{"device_del", `{"id":"virtiofs0"}`},
		{"chardev-remove", `{"id":"virtiofs0"}`},
		{"query-status", ``},
	}
	mayNot := []attempt{
		{"chardev-add", `{"id":"serial0",` + fsBackend + `}`},
		{"chardev-add", `{"id":"virtiofs0"}`},
		{"chardev-add", `{"id":"virtiofs0","backend":{"type":"file","data":{"out":"/etc/passwd"}}}`},
		{"chardev-add", `{"id":"virtiofs0",` + strings.Replace(fsBackend, "virtiofs0.sock", "../vm8/qmp", 1) + `}`},
		{"chardev-add", `{"id":"virtiofs0",` + strings.Replace(fsBackend, `false`, `true`, 1) + `}`},
		{"chardev-add", `{"id":"virtiofs0",` + strings.Replace(fsBackend, `"server":false,`, ``, 1) + `}`},
		{"chardev-add", `{"id":"virtiofs0",` + strings.Replace(fsBackend, `"server"`, `"logfile":"/etc/x","server"`, 1) + `}`},
		{"chardev-add", `{"id":"virtiofs0",` + strings.Replace(fsBackend, `"unix"`, `"fd"`, 1) + `}`},
		{"chardev-add", `{"id":"virtiofs0",` + strings.Replace(fsBackend, `"path"`, `"abstract":true,"path"`, 1) + `}`},
		{"chardev-add", `{"id":"virtiofs0",` + strings.Replace(fdBackend, `"fd:"`, `"mine"`, 1) + `}`},
		{"chardev-add", `{"id":"virtiofs0",` + strings.Replace(fdBackend, `false`, `true`, 1) + `}`},
		{"chardev-add", ``},
		{"device_add", `{"driver":"virtio-blk-pci","id":"virtiofs0","drive":"disk0"}`},
		{"device_add", `{"driver":"virtio-blk-pci","id":"virtiofs0","chardev":"virtiofs0","tag":"shared"}`},
		{"device_add", `{"driver":"vhost-user-fs-pci","id":"net0","chardev":"virtiofs0","tag":"shared"}`},
		{"device_add", `{"driver":"vhost-user-fs-pci","id":"virtiofs0","chardev":"serial0","tag":"shared"}`},
		{"device_add", `{"driver":"vhost-user-fs-pci","id":"virtiofs0","chardev":"virtiofs0","tag":"other"}`},
		{"device_add", `{"driver":"vhost-user-fs-pci","id":"virtiofs0","chardev":"virtiofs0"}`},
		{"device_add", `{"driver":"vhost-user-fs-pci","id":"virtiofs0","chardev":"virtiofs0","tag":"shared","bus":"pcie.0"}`},
		{"device_add", `{"driver":"vhost-user-fs-pci","id":"virtiofs0","chardev":"virtiofs0","tag":"shared","rombar":1,"romfile":"/etc/passwd"}`},
		{"device_add", `{"Driver":"vhost-user-fs-pci","driver":"vhost-user-fs-pci","id":"virtiofs0","chardev":"virtiofs0","tag":"shared"}`},
		{"device_add", `{"driver":"vhost-user-fs-pci","id":"virtiofs0","chardev":"virtiofs0","tag":"shared","bus":null}`},
		{"device_del", `{"id":"net0"}`},
		{"device_del", `{"id":"/machine/peripheral/net0"}`},
		{"device_del", `{"id":"/machine/peripheral/virtiofs0"}`}, // the same device, but another name
		{"device_del", `{"id":["virtiofs0"]}`},
		{"device_del", ``},
		{"chardev-remove", `{"id":"serial0"}`},
		{"chardev-change", `{"id":"virtiofs0",` + fsBackend + `}`},
		{"object-add", `{"qom-type":"memory-backend-file","id":"virtiofs0"}`},
		{"query-chardev", ``},
		{"stop", ``},
	}
	try(t, rules, newCaller(t, 997), false, mayNot)
	for _, other := range []*access.Caller{newCaller(t, 998), newCaller(t, 1000, 997)} {
		try(t, rules, other, false, may)
	}
	try(t, rules, newCaller(t, 997), true, may)
}

func TestBackupExample(t *testing.T) {
	rules := example(t, "backup")
	may := []attempt{
		{"blockdev-backup", `{"job-id":"backup-0","device":"disk0","target":"backup-disk0","sync":"full"}`},
		{"blockdev-backup", `{"job-id":"backup-1","device":"disk1","target":"backup-disk1","sync":"incremental","bitmap":"backup-b","speed":1000000,"auto-dismiss":false}`},
		{"blockdev-add", `{"node-name":"backup-disk0","driver":"raw","file":{"driver":"file","filename":"/dev/fdset/"}}`},
		{"blockdev-del", `{"node-name":"backup-disk1"}`},
		{"job-cancel", `{"id":"backup-0"}`},
		{"job-dismiss", `{"id":"backup-0"}`},
		{"block-job-cancel", `{"device":"backup-0","force":false}`},
		{"block-job-set-speed", `{"device":"backup-0","speed":1000}`},
		{"block-dirty-bitmap-add", `{"node":"disk0","name":"backup-b","persistent":true}`},
		{"block-dirty-bitmap-remove", `{"node":"disk0","name":"backup-b"}`},
		{"transaction", `{"actions":[{"type":"blockdev-backup","data":{"job-id":"backup-0"}}]}`}, // what is in it is decided by itself
		{"query-jobs", ``},
		{"event:BLOCK_JOB_COMPLETED", ``},
		{"event:JOB_STATUS_CHANGE", ``},
	}
	mayNot := []attempt{
		{"blockdev-backup", `{"job-id":"backup-0","device":"secret","target":"backup-disk0","sync":"full"}`},
		{"blockdev-backup", `{"job-id":"backup-0","device":"disk0","target":"disk1","sync":"full"}`},
		{"blockdev-backup", `{"job-id":"mirror-0","device":"disk0","target":"backup-disk0","sync":"full"}`},
		{"blockdev-backup", `{"device":"disk0","target":"backup-disk0","sync":"full"}`},
		{"blockdev-backup", `{"job-id":"backup-0","device":"disk0","target":"backup-disk0","sync":"bitmap","bitmap":"mirror"}`},
		{"blockdev-backup", `{"job-id":"backup-0","device":"disk0","target":"backup-disk0","sync":"full","filter-node-name":"x"}`},
		{"blockdev-backup", `{"job-id":"backup-0","device":"disk0","target":["backup-disk0"],"sync":"full"}`},
		{"drive-backup", `{"job-id":"backup-0","device":"disk0","target":"/etc/passwd","sync":"full"}`},
		{"blockdev-add", `{"node-name":"backup-disk0","driver":"file","filename":"/etc/passwd"}`},
		{"blockdev-add", `{"node-name":"backup-disk0","driver":"file","filename":"/dev/fdset/"}`},
		{"blockdev-add", `{"node-name":"backup-disk0","driver":"raw","file":{"driver":"file","filename":"/dev/fdset/1"}}`},
		{"blockdev-add", `{"node-name":"backup-disk0","driver":"raw","file":{"driver":"file","filename":"/etc/passwd"}}`},
		{"blockdev-add", `{"node-name":"backup-disk0","driver":"raw","file":"disk0"}`},
		{"blockdev-add", `{"node-name":"backup-disk0","driver":"qcow2","file":{"driver":"file","filename":"/dev/fdset/"}}`},
		{"blockdev-add", `{"node-name":"mine","driver":"raw","file":{"driver":"file","filename":"/dev/fdset/"}}`},
		{"blockdev-add", `{"driver":"raw","file":{"driver":"file","filename":"/dev/fdset/"}}`},
		{"blockdev-del", `{"node-name":"disk0"}`},
		{"blockdev-mirror", `{"job-id":"backup-0","device":"disk0","target":"backup-disk0","sync":"full"}`},
		{"job-cancel", `{"id":"mirror-0"}`},
		{"job-cancel", `{"id":"backup"}`},
		{"job-cancel", ``},
		{"job-pause", `{"id":"backup-0","x":1}`},
		{"block-job-cancel", `{"device":"mirror-0"}`},
		{"block-job-set-speed", `{"device":"mirror-0","speed":1}`},
		{"block-job-cancel", ``},
		{"blockdev-backup", `{"job-id":"backup-0","device":"disk0","target":"backup-disk0","sync":"bitmap","bitmap":"backup-c"}`},
		{"block-dirty-bitmap-add", `{"node":"disk0","name":"mirror"}`},
		{"block-dirty-bitmap-add", `{"node":"disk0","name":"backup-c"}`},
		{"block-dirty-bitmap-add", `{"node":"disk0","name":"backup-"}`},
		{"block-dirty-bitmap-add", `{"node":"disk0","name":"backup-b","granularity":512}`},
		{"block-dirty-bitmap-clear", `{"node":"secret","name":"backup-b"}`},
		{"block-dirty-bitmap-merge", `{"node":"disk0","target":"backup-b","bitmaps":["x"]}`},
		{"event:BLOCK_IO_ERROR", ``},
		{"query-block", ``},
		{"stop", ``},
	}
	try(t, rules, newCaller(t, 996), false, mayNot)
	try(t, rules, newCaller(t, 1000, 996), false, may)
	try(t, rules, newCaller(t, 996), true, may)
}

func TestUIExample(t *testing.T) {
	rules := example(t, "ui")
	may := []attempt{
		{"screendump", ``},
		{"screendump", `{"device":"video0","head":0}`},
		{"stop", ``},
		{"system_powerdown", ``},
		{"send-key", `{"keys":[{"type":"qcode","data":"a"}],"hold-time":100}`},
		{"read-properties", ``},
	}
	mayNot := []attempt{
		{"screendump", `{"filename":"/run/vm-ui/screenshots/1.ppm"}`},
		{"screendump", `{"filename":"/dev/fdset/1","device":"video0"}`},
		{"screendump", `{"filename":""}`},
		{"screendump", `{"Filename":"/etc/passwd"}`},
		{"screendump", `{"device":{"filename":"/etc/passwd"}}`},
		{"screendump", `{"device":"video0","format":"png"}`},
		{"screendump", `{"new":1}`},
		{"add-fd", ``},
		{"remove-fd", `{"fdset-id":1}`},
		{"quit", ``},
		{"device_add", `{"driver":"e1000"}`},
		{"qmp_capabilities", ``},
		{"event:VNC_CONNECTED", ``},
	}
	ui := newCaller(t, 1000, 27, 995)
	try(t, rules, ui, false, mayNot)
	try(t, rules, newCaller(t, 995), false, may)
	try(t, rules, ui, true, may)
}

func TestTPMExample(t *testing.T) {
	rules := example(t, "tpm")
	mayNot := []attempt{
		{"query-chardev", ``},
		{"query-block", ``},
		{"qom-get", `{"path":"/machine/peripheral/tis0","property":"tpmdev"}`},
		{"chardev-remove", `{"id":"chrtpm"}`},
		{"device_del", `{"id":"tis0"}`},
		{"stop", ``},
		{"quit", ``},
	}
	try(t, rules, newCaller(t, 992), false, append(mayNot, attempt{"query-tpm", ``}))
	try(t, rules, newCaller(t, 993), false, mayNot)
	try(t, rules, newCaller(t, 993), true, []attempt{{"query-tpm", ``}, {"query-tpm-models", ``}, {"query-status", ``}, {"read-properties", ``}})
}

func TestNetworkExample(t *testing.T) {
	rules := example(t, "network")
	mayNot := []attempt{
		{"set_link", `{"name":"nic0","up":false}`},
		{"netdev_add", `{"type":"user","id":"net0"}`},
		{"netdev_del", `{"id":"net0"}`},
		{"device_add", `{"driver":"virtio-net-pci"}`},
		{"device_del", `{"id":"nic0"}`},
		{"announce-self", ``},
		{"human-monitor-command", ``},
		{"query-block", ``},
		{"event:VNC_CONNECTED", ``},
	}
	try(t, rules, newCaller(t, 993), false, append(mayNot, attempt{"query-rx-filter", ``}))
	try(t, rules, newCaller(t, 992), false, mayNot)
	try(t, rules, newCaller(t, 992), true, []attempt{
		{"query-rx-filter", ``}, {"query-rx-filter", `{"name":"nic0"}`}, {"event:NIC_RX_FILTER_CHANGED", ``}, {"read-properties", ``},
	})
}

func TestVhostUserBlkExample(t *testing.T) {
	rules := example(t, "vhost-user-blk")
	may := []attempt{
		{"chardev-add", `{"id":"vdisk0",` + fdBackend + `}`},
		{"device_add", `{"driver":"vhost-user-blk-pci","id":"vdisk0","chardev":"vdisk0","bus":"vdisk-port"}`},
		{"device_del", `{"id":"vdisk0"}`},
		{"chardev-remove", `{"id":"vdisk0"}`},
		{"query-status", ``},
	}
	mayNot := []attempt{
		{"chardev-add", `{"id":"virtiofs0",` + fdBackend + `}`},
		{"chardev-add", `{"id":"vdisk0",` + fsBackend + `}`},
		{"chardev-add", `{"id":"vdisk0",` + strings.Replace(fdBackend, `"fd:"`, `"mine"`, 1) + `}`},
		{"chardev-add", `{"id":"vdisk0",` + strings.Replace(fdBackend, `"server"`, `"logfile":"/etc/x","server"`, 1) + `}`},
		{"device_add", `{"driver":"vhost-user-blk-pci","id":"vdisk0","chardev":"serial0","bus":"vdisk-port"}`},
		{"device_add", `{"driver":"vhost-user-fs-pci","id":"vdisk0","chardev":"vdisk0","bus":"vdisk-port"}`},
		{"device_add", `{"driver":"vhost-user-blk-pci","id":"vdisk0","chardev":"vdisk0","bus":"pcie.0"}`},
		{"device_add", `{"driver":"vhost-user-blk-pci","id":"vdisk0","chardev":"vdisk0"}`},
		{"device_add", `{"driver":"vhost-user-blk-pci","id":"vdisk0","chardev":"vdisk0","bus":"vdisk-port","romfile":"/etc/passwd"}`},
		{"device_del", `{"id":"net0"}`},
		{"chardev-remove", `{"id":"serial0"}`},
		{"chardev-change", `{"id":"vdisk0",` + fdBackend + `}`},
		{"blockdev-add", `{"node-name":"vdisk0","driver":"file","filename":"/etc/passwd"}`},
		{"block-export-add", `{"id":"vdisk0"}`},
	}
	try(t, rules, newCaller(t, 997), false, append(may[:4:4], mayNot...))
	try(t, rules, newCaller(t, 991), false, mayNot)
	try(t, rules, newCaller(t, 991), true, may)
}

func TestUsernetExample(t *testing.T) {
	rules := example(t, "usernet")
	may := []attempt{
		{"netdev_add", `{"type":"socket","id":"usernet0","fd":"fd:"}`},
		{"device_add", `{"driver":"virtio-net-pci","id":"usernic0","netdev":"usernet0","mac":"52:54:00:00:00:01","bus":"usernet-port"}`},
		{"device_del", `{"id":"usernic0"}`},
		{"netdev_del", `{"id":"usernet0"}`},
		{"query-status", ``},
	}
	mayNot := []attempt{
		{"netdev_add", `{"type":"user","id":"usernet0"}`},
		{"netdev_add", `{"type":"tap","id":"usernet0","fd":"fd:"}`},
		{"netdev_add", `{"type":"tap","id":"usernet0","script":"/tmp/x"}`},
		{"netdev_add", `{"type":"socket","id":"usernet0","connect":"127.0.0.1:1"}`},
		{"netdev_add", `{"type":"socket","id":"usernet0","fd":"mine"}`},
		{"netdev_add", `{"type":"socket","id":"usernet0","fd":"fd:","listen":":1"}`},
		{"netdev_add", `{"type":"socket","id":"net0","fd":"fd:"}`},
		{"netdev_add", `{"type":"socket","id":"usernet0"}`},
		{"device_add", `{"driver":"virtio-net-pci","id":"usernic0","netdev":"net0","bus":"usernet-port"}`},
		{"device_add", `{"driver":"virtio-net-pci","id":"usernic0","netdev":"usernet0","bus":"pcie.0"}`},
		{"device_add", `{"driver":"virtio-net-pci","id":"usernic0","netdev":"usernet0","bus":"usernet-port","romfile":"/etc/passwd"}`},
		{"device_del", `{"id":"usernet0"}`},
		{"netdev_del", `{"id":"net0"}`},
		{"set_link", `{"name":"usernic0","up":false}`},
		{"query-rx-filter", ``},
	}
	try(t, rules, newCaller(t, 991), false, append(may[:4:4], mayNot...))
	try(t, rules, newCaller(t, 990), false, mayNot)
	try(t, rules, newCaller(t, 990), true, may)
}

func TestMCSExample(t *testing.T) {
	rules := example(t, "mcs")
	labelled := func(label string) *access.Caller {
		caller, err := access.NewCaller(":1.5", 994, nil, 1, label)
		if err != nil {
			t.Fatal(err)
		}
		return caller
	}
	read, tpm := []attempt{{"query-status", ``}, {"read-properties", ``}}, []attempt{{"query-tpm", ``}, {"query-chardev", ``}}
	for _, label := range []string{
		"", "unconfined", "system_u:system_r:swtpm_t:s0", "system_u:system_r:swtpm_t:s0:c107", "system_u:system_r:swtpm_t:s0:c107,c393",
		"system_u:system_r:swtpm_t:s0:c107,c108,c392", "system_u:system_r:swtpm_t:s0:c107.c392", "system_u:system_r:swtpm_t",
		"system_u:system_r:swtpm_t:s0-s0:c107,c392", "system_u:system_r:swtpm_t:s0:c392,c107",
	} {
		try(t, rules, labelled(label), false, append(read, tpm...))
	}
	try(t, rules, labelled("system_u:system_r:svirt_t:s0:c107,c392"), false, tpm)
	try(t, rules, labelled("system_u:system_r:swtpm_t:s0:c107,c392"), false, []attempt{{"stop", ``}, {"device_del", `{"id":"tpm0"}`}})
	try(t, rules, labelled("system_u:system_r:svirt_t:s0:c107,c392"), true, read)
	try(t, rules, labelled("system_u:system_r:swtpm_t:s0:c107,c392"), true, append(read, tpm...))
	try(t, rules, newCaller(t, 0), true, append(read, tpm...)) // root is no helper
}
