package bus_test

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"qmp-dbus-bridge/bridge/bus"
	"qmp-dbus-bridge/e2e/rig"
)

var update = flag.Bool("update", false, "write the golden files anew")

func TestRenderGolden(t *testing.T) {
	for name, config := range map[string]bus.Config{
		"private.conf": {Dir: "/run/user/1000/vm", Bridge: 1000},
		"shared.conf":  shared("/run/vm"),
	} {
		got, err := config.Render()
		if err != nil {
			t.Fatal(err)
		}
		golden := filepath.Join("testdata", name)
		if *update {
			if err := os.WriteFile(golden, got, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), string(got)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestRenderRefuses(t *testing.T) {
	id := func(n uint32) *uint32 { return &n }
	longest := "/" + strings.Repeat("d", 107-len("//bus")) // DIR/bus has 107 bytes
	name := "a." + strings.Repeat("b", 253)                // 255 bytes
	for _, tt := range []struct {
		config bus.Config
		want   string // empty: taken
	}{
		{bus.Config{}, "not an absolute path"},
		{bus.Config{Dir: "vm"}, "not an absolute path"},
		{bus.Config{Dir: longest}, ""},
		{bus.Config{Dir: longest + "d"}, "108 bytes"},
		{bus.Config{Dir: "/d", Callers: bus.Subjects{UIDs: []uint32{65533}}}, ""},
		{bus.Config{Dir: "/d", Callers: bus.Subjects{UIDs: []uint32{65534}}}, "unknown user"},
		{bus.Config{Dir: "/d", Callers: bus.Subjects{UIDs: []uint32{1<<32 - 2}}}, ""},
		{bus.Config{Dir: "/d", Callers: bus.Subjects{UIDs: []uint32{1<<32 - 1}}}, "unknown user"},
		{bus.Config{Dir: "/d", Bridge: 65534}, "unknown user"},
		{bus.Config{Dir: "/d", QEMU: id(65534)}, "unknown user"},
		{bus.Config{Dir: "/d", Callers: bus.Subjects{GIDs: []uint32{65534}}}, "unknown group"},
		{bus.Config{Dir: "/d", Callers: bus.Subjects{GIDs: []uint32{1<<32 - 1}}}, "unknown group"},
		{bus.Config{Dir: "/d", Callers: bus.Subjects{UIDs: []uint32{7}}, QEMU: id(7)}, "may not call the bridge"},
		{bus.Config{Dir: "/d", Helpers: bus.Subjects{UIDs: []uint32{7}}, QEMU: id(7)}, "may not call the bridge"},
		{bus.Config{Dir: "/d", Displays: bus.Subjects{UIDs: []uint32{7}}, QEMU: id(7)}, "may not call the bridge"},
		{bus.Config{Dir: "/d", Bridge: 7, QEMU: id(7)}, ""},
		{bus.Config{Dir: "/d", Bridge: 7, QEMU: id(7), Callers: bus.Subjects{UIDs: []uint32{7}}}, ""},
		{bus.Config{Dir: "/d", Helpers: bus.Subjects{UIDs: []uint32{65534}}}, "unknown user"},
		{bus.Config{Dir: "/d", Displays: bus.Subjects{GIDs: []uint32{65534}}}, "unknown group"},
		{bus.Config{Dir: "/d", User: id(65534)}, "unknown user"},
		{bus.Config{Dir: "/d", Group: id(65534)}, "unknown group"},
		{bus.Config{Dir: "/d", SELinux: "a\nb"}, "SELinux context"},
		{bus.Config{Dir: "/d", BusName: name}, ""},
		{bus.Config{Dir: "/d", BusName: name + "b"}, "bus name"},
		{bus.Config{Dir: "/d", BusName: "org"}, "bus name"},
		{bus.Config{Dir: "/d", BusName: "org..vm"}, "bus name"},
		{bus.Config{Dir: "/d", BusName: "org.1vm"}, "bus name"},
		{bus.Config{Dir: "/d", BusName: "org.vm-1_x"}, ""},
		{bus.Config{Dir: "/d", BusName: ":1.5"}, "bus name"},
		{bus.Config{Dir: "/d", BusName: "*"}, "bus name"},
		{bus.Config{Dir: "/d", BusName: `a.b"/>`}, "bus name"},
		{bus.Config{Dir: "/d", BusName: "org.freedesktop.DBus"}, "bus name"},
		{bus.Config{Dir: "/d", BusName: "org.qemu"}, "bus name"},
		{bus.Config{Dir: "/d", BusName: "org.qemu.VMState1"}, "bus name"},
		{bus.Config{Dir: "/d", BusName: "org.qemu.Helper1"}, "bus name"},
		{bus.Config{Dir: "/d", BusName: "org.qemu.Helper1.vm"}, "bus name"},
		{bus.Config{Dir: "/d", BusName: "org.qemu.Helper12"}, ""},
	} {
		_, err := tt.config.Render()
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("Render of %+v: %v, want %q", tt.config, err, tt.want)
		}
	}
}

// TestOddDirectory: a name that needs escaping in an address and in XML.
func TestOddDirectory(t *testing.T) {
	rig.Require(t, "dbus-daemon")
	d := start(t, func(dir string) bus.Config { return private(dir + `/a&b <c> "d" 'e' %25,;=ü`) })
	serve(t, rig.Self(), d.Address(), bus.DefaultBusName)
}

func TestBusName(t *testing.T) {
	d := start(t, func(dir string) bus.Config {
		c := private(dir)
		c.BusName = "com.example.vm-7"
		return c
	})
	serve(t, rig.Self(), d.Address(), "com.example.vm-7")
}
