package e2e_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"qmp-dbus-bridge/e2e/rig"
)

// TestTyped types what testdata/typed says: every command and event with types of its own, to
// a machine that has something of each kind. $TRACE is QEMU's own log of the commands and keys
// that have reached it.
func TestTyped(t *testing.T) {
	rig.Require(t, "qemu-img", "gdbus-codegen", "qdbusxml2cpp", "/usr/bin/python3")
	if out, err := exec.Command("/usr/bin/python3", "-c", "import dasbus, dbus.mainloop.glib, gi").CombinedOutput(); err != nil {
		rig.Lacking(t, "python3-dasbus, python3-dbus and python3-gi: "+string(out))
	}
	onEachBus(t, "testdata/typed", func(env *testscript.Env) []string {
		trace, image := env.WorkDir+"/trace", env.WorkDir+"/disk0.qcow2"
		env.Setenv("TRACE", trace)
		createImage(env.T().(testing.TB), image)
		writeExamples(env)
		return []string{
			"-D", trace, "-trace", "handle_qmp_command", "-trace", "input_event_key_qcode",
			"-vga", "std",
			"-device", "pcie-root-port,id=rp1,chassis=1", "-device", "pcie-root-port,id=rp2,chassis=2",
			"-object", "iothread,id=iot0", "-object", "rng-random,id=rng0,filename=/dev/urandom",
			"-blockdev", "null-co,node-name=n0,size=1048576",
			"-blockdev", "qcow2,node-name=disk0,file.driver=file,file.filename=" + image,
			"-device", "virtio-blk-pci,id=vblk0,drive=disk0", "-device", "virtio-balloon-pci,id=balloon0",
		}
	})
}

// writeExamples writes the Python programs and the commands of docs/api.md, as they stand there, to example1.py and example1.sh and
// so on, and what of Python goes on from the first program to more1.py and so on.
func writeExamples(env *testscript.Env) {
	t := env.T().(testing.TB)
	text, err := os.ReadFile("../docs/api.md")
	if err != nil {
		t.Fatal(err)
	}
	count := map[string]int{}
	for _, block := range regexp.MustCompile("(?s)```(python|sh)\n(.*?)```").FindAllStringSubmatch(string(text), -1) {
		name := "example%d.sh"
		if block[1] == "python" {
			name = "example%d.py"
			if !strings.HasPrefix(block[2], "import ") {
				name = "more%d.py"
			}
		}
		count[name]++
		if err := os.WriteFile(filepath.Join(env.WorkDir, fmt.Sprintf(name, count[name])), []byte(block[2]), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// createImage makes a qcow2 image of 16 MiB.
func createImage(t testing.TB, path string) {
	t.Helper()
	if printed, status := rig.Run(t, exec.Command("qemu-img", "create", "-q", "-f", "qcow2", path, "16M")); status != 0 {
		t.Fatalf("qemu-img: %s", printed)
	}
}
