package e2e_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/godbus/dbus/v5"

	"qmp-dbus-bridge/e2e/rig"
)

// argumentsPolicy lets a helper do what depends on arguments, and on the name that it owns. %s is a directory.
const argumentsPolicy = `
@id("images") permit (principal in Role::"helper", action == Action::"blockdev-add", resource) when {
  ["node-name", "driver", "file", "file.driver", "file.filename"].containsAll(context.argumentNames) &&
  context.arguments.driver == "raw" && context.arguments.file.driver == "file" &&
  context.arguments.file.filename like "%[1]s/*" &&
  !(context.arguments.file.filename like "*/../*") && !(context.arguments.file.filename like "*/..")
};
@id("type") permit (principal in Role::"helper", action == Action::"qom-get", resource)
  when { context.arguments.path == "/machine" && context.arguments.property == "type" };
@id("not-peripheral") forbid (principal in Role::"helper", action == Action::"qom-list", resource)
  when { context.arguments.path like "/machine/peripheral*" };
@id("lists") permit (principal in Role::"helper", action == Action::"qom-list", resource);
@id("group") permit (principal in Role::"helper", action == Action::"transaction", resource);
@id("bitmap") permit (principal in Role::"helper", action == Action::"block-dirty-bitmap-add", resource)
  when { context.arguments.node == "n0" };
@id("by-name") permit (principal in Role::"helper", action == Action::"stop", resource)
  when { principal.busNames.contains("org.qemu.Helper") };`

// argumentCalls are the helper's, in this order.
var argumentCalls = []struct {
	command, arguments string
	want               string // the error; none if empty
}{
	{"qom-list", `{"path":"/machine/peripheral"}`, dbusError + "AccessDenied"},
	{"qom-list", `{"path":"//machine/peripheral"}`, dbusError + "AccessDenied"},
	{"qom-list", `{"path":"/machine//peripheral/"}`, dbusError + "AccessDenied"},
	{"qom-list", `{"path":"peripheral"}`, dbusError + "AccessDenied"},
	{"qom-list", `{"path":"/machine"}`, ""},
	{"qom-get", `{"path":"/machine/","property":"type"}`, dbusError + "AccessDenied"},
	{"qom-get", `{"path":"/machine","property":"type"}`, ""},
	{"blockdev-add", `{"node-name":"i0","driver":"raw","file":{"driver":"file","filename":"DIR/../BESIDE"}}`, dbusError + "AccessDenied"},
	{"blockdev-add", `{"node-name":"i0","driver":"raw","file.driver":"file","file.filename":"DIR/a"}`, dbusError + "AccessDenied"},
	{"blockdev-add", `{"node-name":"i0","driver":"raw","file":{"driver":"file","filename":"json:{}"}}`, dbusError + "AccessDenied"},
	{"blockdev-add", `{"node-name":"i0","driver":"raw","file":{"driver":"file","filename":"DIR/a","locking":null}}`, dbusError + "AccessDenied"},
	{"blockdev-add", `{"node-name":"i0","driver":"raw","file":{"driver":"file","filename":"DIR/a"}}`, ""},
	{"block-dirty-bitmap-add", `{"node":"i0","name":"b"}`, dbusError + "AccessDenied"},
	{"transaction", `{"actions":[{"type":"block-dirty-bitmap-add","data":{"node":"n0","name":"b"}},{"type":"block-dirty-bitmap-add","data":{"node":"i0","name":"b"}}]}`, dbusError + "AccessDenied"},
	{"transaction", `{"actions":[{"type":"block-dirty-bitmap-add","data":{"node":"n0","name":"b"}},{"type":"abort","data":{}}]}`, dbusError + "AccessDenied"},
	{"transaction", `{"actions":[{"type":"block-dirty-bitmap-add","data":{"node":"n0","name":"b"}},{"type":"block-dirty-bitmap-add"}]}`, dbusError + "InvalidArgs"},
	{"transaction", `{"actions":[{"type":"block-dirty-bitmap-add","data":{"node":"n0","name":"b"}}]}`, ""}, // b isn't there yet
	{"stop", ``, dbusError + "AccessDenied"},
}

// TestArguments decides by arguments and by names, on a real QEMU and both buses.
func TestArguments(t *testing.T) {
	rig.RequireRoot(t)
	for name, start := range configured {
		t.Run(name, func(t *testing.T) {
			dir := rig.TempDir(t)
			for _, image := range []string{dir + "/a", dir + "b"} {
				if err := os.WriteFile(image, make([]byte, 1<<20), 0o600); err != nil {
					t.Fatal(err)
				}
				defer os.Remove(image)
			}
			policy := filepath.Join(dir, "helper.cedar")
			if err := os.WriteFile(policy, fmt.Appendf(nil, argumentsPolicy, dir), 0o600); err != nil {
				t.Fatal(err)
			}
			vm := rig.StartQEMU(t, rig.QEMU{Args: []string{"-blockdev", "null-co,node-name=n0,size=1048576"}})
			address := start(t, rig.Permissive).Address
			serveQEMU(t, vm, "--bus", address, "--grant", "helper=uid:9", "--policy", policy)
			helper := rig.News.MustDial(t, address)
			for _, c := range argumentCalls {
				arguments := strings.NewReplacer("DIR", dir, "BESIDE", filepath.Base(dir)+"b").Replace(c.arguments)
				err := helper.Object(busName, qmpPath).Call(qmpIf+".CallJson", 0, c.command, arguments).Err
				if c.want == "" && err != nil || c.want != "" && errorName(err) != c.want {
					t.Errorf("%s %s = %v, want %q", c.command, arguments, err, c.want)
				}
			}
			if reply, err := helper.RequestName("org.qemu.Helper", dbus.NameFlagDoNotQueue); err != nil || reply != dbus.RequestNameReplyPrimaryOwner {
				t.Fatalf("RequestName: %v, %v", reply, err)
			}
			rig.Eventually(t, "the bridge knows the helper's name", func() bool {
				_, err := qmp(helper, "stop", nil)
				return err == nil
			})
			if _, err := helper.ReleaseName("org.qemu.Helper"); err != nil {
				t.Fatal(err)
			}
			rig.Eventually(t, "the bridge knows that the name is gone", func() bool {
				_, err := qmp(helper, "stop", nil)
				return errorName(err) == dbusError+"AccessDenied"
			})
		})
	}
}
