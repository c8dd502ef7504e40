package e2e_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/godbus/dbus/v5"
	"github.com/google/go-cmp/cmp"

	"qmp-dbus-bridge/e2e/rig"
)

// How much TestOperations does: each stretch ends with everything compared.
const (
	operationCount = 500
	stretch        = 5
)

// snapshot is what there is: the properties of the VM and of the objects below it, by path.
type snapshot map[string]map[string]any

// follower is follow.py, which knows what there is from GetManagedObjects at its start and signals from then on.
type follower struct {
	t     testing.TB
	ask   io.Writer
	lines *bufio.Reader
}

const followScript = "testdata/follow.py"

// startFollower starts one as a user.
func startFollower(t testing.TB, user rig.User, address string) *follower {
	t.Helper()
	cmd := user.Command("/usr/bin/python3", followScript, address)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, w := io.Pipe()
	cmd.Stdout = w
	p := rig.Start(t, cmd)
	go func() {
		<-p.Done()
		w.CloseWithError(fmt.Errorf("%s has ended:\n%s", followScript, p.Output()))
	}()
	t.Cleanup(func() {
		stdin.Close()
		stdout.Close()
	})
	return &follower{t, stdin, bufio.NewReader(stdout)}
}

// sees is what it knows, of all that was sent before.
func (f *follower) sees() (s snapshot) {
	f.t.Helper()
	if _, err := io.WriteString(f.ask, "\n"); err != nil {
		f.t.Fatal(err)
	}
	line, err := f.lines.ReadBytes('\n')
	if err != nil {
		f.t.Fatal(err)
	}
	return parseSnapshot(f.t, line)
}

func parseSnapshot(t testing.TB, text []byte) (s snapshot) {
	t.Helper()
	if err := json.Unmarshal(text, &s); err != nil {
		t.Fatalf("%v in %q", err, text)
	}
	delete(s, string(qmpPath)) // has no properties
	return s
}

// shown is what the bridge answers that there is.
func shown(t testing.TB, conn *dbus.Conn) snapshot {
	t.Helper()
	var all map[string]dbus.Variant
	if err := conn.Object(busName, vmPath).Call(propsIf+".GetAll", 0, busName).Store(&all); err != nil {
		t.Fatal(err)
	}
	everything := objects(t, conn)
	everything[""] = all
	s := snapshot{}
	for path, properties := range everything {
		values := map[string]any{}
		for name, v := range properties {
			values[name] = v.Value()
		}
		s[strings.TrimSuffix(string(vmPath)+"/"+path, "/")] = values
	}
	text, err := json.Marshal(s) // and back, so that numbers are of one type
	if err != nil {
		t.Fatal(err)
	}
	return parseSnapshot(t, text)
}

// operations does things to a VM at random, and knows what it has done.
type operations struct {
	t        testing.TB
	by       *client
	behind   *rig.Monitor // another monitor than the bridge's
	rand     *rand.Rand
	count    int
	chardevs []string
	drives   []string
	nics     []string
	ports    []string
	jobs     []string
	dimms    int
	images   []string
	done     []string // for who has to look into a failure
}

// id makes one that has not been.
func (o *operations) id(kind string) string {
	o.count++
	return fmt.Sprintf("%s-%d.x", kind, o.count)
}

// take takes one of a list at random, if it has any.
func (o *operations) take(list *[]string) (one string, found bool) {
	if len(*list) == 0 {
		return "", false
	}
	i := o.rand.IntN(len(*list))
	one = (*list)[i]
	*list = slices.Delete(*list, i, i+1)
	return one, true
}

// call calls a typed method, which must succeed.
func (o *operations) call(member string, args ...any) {
	o.t.Helper()
	o.done = append(o.done, fmt.Sprint(member, args))
	o.by.call(o.t, member, args...)
}

// send sends a command behind the bridge's back.
func (o *operations) send(command string) {
	o.done = append(o.done, command)
	o.behind.Send(command)
}

// kinds of operations; each does something if it can.
var kindsOfOperations = []func(*operations){
	func(o *operations) { // a character device
		id := o.id("c")
		o.call("ChardevAdd", id, options("type", "null", "data", map[string]dbus.Variant{}))
		o.chardevs = append(o.chardevs, id)
	},
	func(o *operations) {
		if id, found := o.take(&o.chardevs); found {
			o.call("ChardevRemove", id)
		}
	},
	func(o *operations) { // a serial port, which opens a character device
		if id, found := o.take(&o.chardevs); found {
			o.call("DeviceAdd", "virtserialport", options("id", "p"+id, "chardev", id, "bus", "serial.0"))
			o.ports = append(o.ports, "p"+id)
		}
	},
	func(o *operations) {
		if id, found := o.take(&o.ports); found {
			o.call("DeviceDel", id)
		}
	},
	func(o *operations) { // a drive
		id := o.id("d")
		o.call("BlockdevAdd", "null-co", options("node-name", id, "size", 4096*(1+o.rand.IntN(8))))
		o.call("DeviceAdd", "scsi-hd", options("id", id, "drive", id, "bus", "scsi0.0"))
		o.drives = append(o.drives, id)
	},
	func(o *operations) {
		if id, found := o.take(&o.drives); found {
			o.call("DeviceDel", id)
		}
	},
	func(o *operations) { // or at another monitor
		if id, found := o.take(&o.drives); found {
			o.send(fmt.Sprintf(`{"execute":"device_del","arguments":{"id":%q}}`, id))
		}
	},
	func(o *operations) {
		o.call("BlockResize", 512*(1+o.rand.IntN(1000)), options("node-name", "image"))
	},
	func(o *operations) { // a medium
		o.call("BlockdevChangeMedium", o.images[o.rand.IntN(len(o.images))], options("id", "cd0", "format", "raw"))
	},
	func(o *operations) { o.call("Eject", options("id", "cd0", "force", true)) },
	func(o *operations) { o.call("BlockdevOpenTray", options("id", "cd0", "force", true)) },
	func(o *operations) { o.call("BlockdevCloseTray", options("id", "cd0")) },
	func(o *operations) { // a job that ends
		id := o.id("j")
		o.call("BlockdevCreate", id, options("driver", "file", "filename", filepath.Join(filepath.Dir(o.images[0]), id), "size", 4096))
		o.jobs = append(o.jobs, id)
	},
	func(o *operations) {
		if id, found := o.take(&o.jobs); found {
			rig.Eventually(o.t, "the job has ended", func() bool {
				return slices.ContainsFunc(o.by.call(o.t, "QueryJobs").([]map[string]dbus.Variant), func(j map[string]dbus.Variant) bool {
					return j["id"].Value() == id && j["status"].Value() == "concluded"
				})
			})
			o.call("JobDismiss", id)
		}
	},
	func(o *operations) { o.call("Stop") },
	func(o *operations) { o.call("Cont") },
	func(o *operations) { o.send(`{"execute":"stop"}`) },
	func(o *operations) { o.send(`{"execute":"cont"}`) },
	func(o *operations) { o.call("SystemReset") },
	func(o *operations) { // memory
		if o.dimms == 3 {
			return
		}
		o.dimms++
		id := o.id("m")
		o.call("ObjectAdd", "memory-backend-ram", "b"+id, options("size", uint64(128<<20)))
		o.call("DeviceAdd", "pc-dimm", options("id", id, "memdev", "b"+id))
	},
	func(o *operations) { // a network card
		id := o.id("n")
		o.call("NetdevAdd", id, "hubport", options("hubid", 1))
		o.call("DeviceAdd", "usb-net", options("id", "u"+id, "netdev", id))
		o.nics = append(o.nics, "u"+id)
	},
	func(o *operations) {
		if id, found := o.take(&o.nics); found {
			o.call("DeviceDel", id)
		}
	},
	func(o *operations) { // whatever this does, everything is read
		id := o.id("h")
		o.call("HumanMonitorCommand", "chardev-add null,id="+id)
		o.chardevs = append(o.chardevs, id)
	},
}

// TestOperations has 500 operations at random, some at another monitor, and the connection to QEMU cut in between: a
// client that goes by signals, the output of gdbus monitor and the bridge's own answers agree with each other and with
// what QEMU answers.
func TestOperations(t *testing.T) {
	onBothBuses(t, func(t *testing.T, flags []string) { testOperations(t, rig.QEMUProgram(), flags) })
}

// TestOperationsOfNewerQEMU is TestOperations on another version.
func TestOperationsOfNewerQEMU(t *testing.T) { testOperations(t, rig.OtherQEMU(t, "10"), nil) }

func testOperations(t *testing.T, qemu string, flags []string) {
	rig.Require(t, "gdbus", "/usr/bin/python3")
	image := rawImage(t, "an image")
	vm := rig.StartQEMU(t, rig.QEMU{Program: qemu, Count: 2, Args: []string{
		"-smp", "1,maxcpus=2", "-m", "64,slots=4,maxmem=1G", "-device", "virtio-scsi-pci,id=scsi0", "-device", "ide-cd,id=cd0,bus=ide.0",
		"-device", "virtio-serial-pci,id=serial", "-global", "virtserialport.chardev=", "-device", "qemu-xhci,id=usb",
		"-blockdev", "file,node-name=file,filename=" + image, "-blockdev", "raw,node-name=image,file=file",
		"-device", "scsi-hd,id=disk,drive=image",
	}})
	cable := rig.Relay(t, vm.Monitors[0])
	b := startBridge(t, append([]string{
		"serve", "--qmp", cable.Path, "--grant", fmt.Sprintf("viewer=uid:%d", viewer.UID),
	}, privateUnless(t, flags)...)...)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	o := &operations{
		t: t, by: dial(t, b), behind: rig.DialMonitor(t, vm.Monitors[1]), rand: rand.New(rand.NewPCG(seed, 0)),
		images: []string{rawImage(t, "a"), rawImage(t, "b")},
	}
	reader := viewer.MustDial(t, b.address)
	python := startFollower(t, viewer, b.address)
	monitor := rig.Start(t, viewer.Command("gdbus", "monitor", "--address", b.address, "--dest", busName))
	o.untilHeard(monitor)
	base, before := python.sees(), len(monitor.Output())
	for n := range operationCount {
		kindsOfOperations[o.rand.IntN(len(kindsOfOperations))](o)
		if n == operationCount/2 {
			signals := watch(t, rig.Self().MustDial(t, b.address), dbus.WithMatchPathNamespace(vmPath))
			cable.Cut()
			untilConnected(t, signals)
		}
		if n%stretch == stretch-1 {
			o.agree(reader, python)
		}
	}
	o.agreed("gdbus monitor tells the same", func() string {
		return cmp.Diff(shown(t, reader), replay(t, base, monitor.Output()[before:]))
	})
}

// untilHeard waits until gdbus monitor has shown all there was to hear. It says that it watches before it asks the bus for
// the signals, so something changes until it hears of that.
func (o *operations) untilHeard(monitor *rig.Process) {
	o.t.Helper()
	size := 0
	rig.Eventually(o.t, "gdbus monitor hears the bridge", func() bool {
		size += 512
		o.call("BlockResize", size, options("node-name", "image"))
		return strings.Contains(monitor.Output(), "'VirtualSize'")
	})
	monitor.WaitOutput(o.t, fmt.Sprintf("{'VirtualSize': <uint64 %d>}, @as [])\n", size))
}

// replay is what there is by the output of gdbus monitor, after base.
func replay(t testing.TB, base snapshot, output string) snapshot {
	t.Helper()
	text, err := json.Marshal(base)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/usr/bin/python3", followScript, "--replay", string(text))
	cmd.Stdin = strings.NewReader(output)
	var complaint strings.Builder
	cmd.Stderr = &complaint
	end, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v: %s\nafter %s:\n%s", followScript, err, complaint.String(), text, output)
	}
	return parseSnapshot(t, end)
}

// agree waits until QEMU, the bridge and who follows it say the same.
func (o *operations) agree(reader *dbus.Conn, python *follower) {
	o.t.Helper()
	o.agreed("all say the same", func() string {
		now := shown(o.t, reader)
		return cmp.Diff(now, python.sees()) + cmp.Diff(o.truth(), now.summary())
	})
}

// agreed waits until there is no difference: what was sent to the other monitor may not have been done yet.
func (o *operations) agreed(what string, compare func() (diff string)) {
	o.t.Helper()
	var diff string
	defer func() {
		if o.t.Failed() {
			o.t.Logf("done: %s\n%s", strings.Join(o.done, "\n"), diff)
		}
	}()
	rig.Eventually(o.t, what, func() bool {
		diff = compare()
		return diff == ""
	})
}

// summary is what is compared with QEMU: a few properties of each object, as text.
func (s snapshot) summary() map[string]string {
	short := map[string]string{}
	for path, p := range s {
		path = strings.TrimPrefix(path, string(vmPath))
		kind, _, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
		switch kind {
		case "":
			short["VM"] = fmt.Sprint(p["Status"], " ", p["Running"], " ", p["MemorySize"], " ", p["VCPUs"])
		case "block":
			short[path] = fmt.Sprint(p["NodeName"], " ", p["Inserted"], " ", p["TrayOpen"], " ", p["VirtualSize"])
		case "chardev":
			short[path] = fmt.Sprint(p["FrontendOpen"])
		case "device":
			short[path] = fmt.Sprint(p["Driver"])
		case "job":
			short[path] = fmt.Sprint(p["Status"])
		case "net":
			short[path] = fmt.Sprint(p["Netdev"], " ", p["QueueCount"])
		case "memory":
			short[path] = fmt.Sprint(p["Size"])
		case "cpu":
			short[path] = fmt.Sprint(p["QomPath"])
		}
	}
	return short
}

// label escapes an id as a path's element is.
func label(id string) string {
	return strings.NewReplacer("-", "_2d", ".", "_2e", "_", "_5f", "/", "_2f", "[", "_5b", "]", "_5d").Replace(id)
}

// truth is the same by QEMU's own answers, and of network cards, of which it tells by no command, by what was done.
func (o *operations) truth() map[string]string {
	o.t.Helper()
	ask := func(member string, args ...any) []map[string]dbus.Variant {
		list, _ := o.by.call(o.t, member, args...).([]map[string]dbus.Variant)
		return list
	}
	all := map[string]string{}
	status := o.by.call(o.t, "QueryStatus").(map[string]dbus.Variant)
	memory := o.by.call(o.t, "QueryMemorySizeSummary").(map[string]dbus.Variant)
	cpus := ask("QueryCpusFast")
	all["VM"] = fmt.Sprint(status["status"].Value(), " ", status["running"].Value(), " ",
		float64(memory["base-memory"].Value().(int64)+memory["plugged-memory"].Value().(int64)), " ", len(cpus))
	for _, c := range cpus {
		all[fmt.Sprint("/cpu/", c["cpu-index"].Value())] = fmt.Sprint(c["qom-path"].Value())
	}
	for _, d := range ask("QueryBlock", options()) {
		id := label(strings.TrimPrefix(d["qdev"].Value().(string), "/machine/peripheral/"))
		medium, inserted := d["inserted"].Value().(map[string]dbus.Variant)
		open, _ := d["tray_open"].Value().(bool)
		node, size := "", 0.0
		if inserted {
			node = medium["node-name"].Value().(string)
			size = float64(medium["image"].Value().(map[string]dbus.Variant)["virtual-size"].Value().(int64))
		}
		all["/block/"+id] = fmt.Sprint(node, " ", inserted, " ", open, " ", size)
	}
	for _, c := range ask("QueryChardev") {
		all["/chardev/"+label(c["label"].Value().(string))] = fmt.Sprint(c["frontend-open"].Value())
	}
	for _, j := range ask("QueryJobs") {
		all["/job/"+label(j["id"].Value().(string))] = fmt.Sprint(j["status"].Value())
	}
	for _, m := range ask("QueryMemoryDevices") {
		data := m["data"].Value().(map[string]dbus.Variant)
		all["/memory/"+label(data["id"].Value().(string))] = fmt.Sprint(float64(data["size"].Value().(int64)))
	}
	for _, id := range o.nics {
		all["/net/"+label(id)] = id[len("u"):] + " 1"
	}
	for _, p := range ask("QomList", "/machine/peripheral") {
		if driver, isChild := strings.CutPrefix(p["type"].Value().(string), "child<"); isChild {
			all["/device/"+label(p["name"].Value().(string))] = strings.TrimSuffix(driver, ">")
		}
	}
	return all
}

// privateUnless adds a private bus to the flags that have no other.
func privateUnless(t testing.TB, flags []string) []string {
	if flags != nil {
		return flags
	}
	return []string{"--bus-dir", filepath.Join(rig.TempDir(t), "bus")}
}
