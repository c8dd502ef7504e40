package e2e_test

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/godbus/dbus/v5"
	"github.com/google/go-cmp/cmp"
)

// narrow is a policy that gives a helper little of commands that could do much.
const narrow = `
@id("bitmaps")
permit (principal in Role::"helper", action == Action::"block-dirty-bitmap-add", resource)
when { ["node", "name"].containsAll(context.argumentNames) && context.arguments.node == "n0" };

@id("group")
permit (principal in Role::"helper", action == Action::"transaction", resource);

@id("images")
permit (principal in Role::"helper", action == Action::"blockdev-add", resource)
when {
  ["node-name", "driver", "file", "file.driver", "file.filename"].containsAll(context.argumentNames) &&
  context.arguments.driver == "raw" && context.arguments.file.driver == "file" &&
  context.arguments.file.filename like "/srv/*" && !(context.arguments.file.filename like "*/..*")
};

@id("one-device")
permit (principal in Role::"helper", action in [Action::"qom-get", Action::"device_del"], resource)
when {
  (action == Action::"qom-get" && ["path", "property"].containsAll(context.argumentNames) &&
    context.arguments.path == "/machine/peripheral/balloon0" && context.arguments.property == "type") ||
  (action == Action::"device_del" && ["id"].containsAll(context.argumentNames) && context.arguments.id == "other0")
};
`

// addBitmap is an action of a transaction that the policy allows.
const addBitmap = `{"type":"block-dirty-bitmap-add","data":{"node":"n0","name":"b"}}`

// denied are calls of the helper's that its policy does not allow.
var denied = []struct{ command, arguments string }{
	// A transaction is each of its actions.
	{"transaction", `{"actions":[{"type":"blockdev-snapshot-sync","data":{"node-name":"n0","snapshot-file":"/etc/x"}}]}`},
	{"transaction", `{"actions":[` + addBitmap + `,{"type":"blockdev-snapshot-sync","data":{"node-name":"n0","snapshot-file":"/etc/x"}}]}`},
	{"transaction", `{"actions":[{"type":"block-dirty-bitmap-add","data":{"node":"n1","name":"b"}}]}`},
	{"transaction", `{"actions":[{"type":"drive-backup","data":{"device":"n0","sync":"full","target":"/etc/x"}}]}`},
	{"transaction", `{"actions":[{"type":"abort","data":{}}]}`},
	// Names of arguments are exact, and what the policy does not name is not given.
	{"block-dirty-bitmap-add", `{"Node":"n0","name":"b"}`},
	{"block-dirty-bitmap-add", `{"node":"n1","name":"b"}`},
	{"block-dirty-bitmap-add", `{"node":"n0","name":"b","persistent":true}`},
	{"block-dirty-bitmap-add", `{"node":"n0\u0000","name":"b"}`},
	{"block-dirty-bitmap-add", `{"name":"b"}`},
	// Files.
	{"blockdev-add", `{"node-name":"x","driver":"raw","file":"json:{\"driver\":\"file\",\"filename\":\"/srv/x\"}"}`},
	{"blockdev-add", `{"node-name":"x","driver":"raw","file":{"driver":"file","filename":"json:{\"driver\":\"file\",\"filename\":\"/etc/shadow\"}"}}`},
	{"blockdev-add", `{"node-name":"x","driver":"raw","file.driver":"file","file.filename":"/srv/x"}`},
	{"blockdev-add", `{"node-name":"x","driver":"raw","file":{"driver":"file","filename":"/srv/x"},"file.filename":"/etc/shadow"}`},
	{"blockdev-add", `{"node_name":"x","driver":"raw","file":{"driver":"file","filename":"/srv/x"}}`},
	{"blockdev-add", `{"node-name":"x","driver":"raw","file":{"driver":"file","filename":"/srv/../etc/shadow"}}`},
	{"blockdev-add", `{"node-name":"x","driver":"raw","file":{"driver":"file","filename":"/dev/fdset/1"}}`},
	{"blockdev-add", `{"node-name":"x","driver":"raw","file":{"driver":"host_device","filename":"/srv/x"}}`},
	{"blockdev-add", `{"node-name":"x","driver":"raw","file":{"driver":"file","filename":"/srv/x","pr-manager":"p"}}`},
	{"blockdev-add", `{"node-name":"x","driver":"raw","file":{"driver":"file","filename":"nbd:unix:/srv/x"}}`},
	// Objects.
	{"qom-get", `{"path":"balloon0","property":"type"}`},
	{"qom-get", `{"path":"/machine/peripheral//balloon0","property":"type"}`},
	{"qom-get", `{"path":"/machine/peripheral/balloon0/","property":"type"}`},
	{"qom-get", `{"path":"/machine/peripheral/balloon0","property":"guest-stats"}`},
	{"qom-get", `{"path":"/machine/peripheral/other0","property":"type"}`},
	{"device_del", `{"id":"balloon0"}`},
	{"device_del", `{"id":"/machine/peripheral/other0"}`},
	{"device_del", `{"id":"/machine/peripheral/balloon0"}`},
	{"device_del", `{"id":"peripheral/other0"}`},
	// Descriptors of others.
	{"query-fdsets", ``},
	{"add-fd", `{"fdset-id":1}`},
	{"remove-fd", `{"fdset-id":1}`},
	{"getfd", `{"fdname":"x"}`},
	{"closefd", `{"fdname":"x"}`},
}

// meaningless are arguments of a transaction that say nothing, or a thing twice: they are refused to whom it may concern.
var meaningless = []string{
	`{"actions":[{"type":"block-dirty-bitmap-add","data":{"node":"n0","name":"b"},"type":"quit"}]}`,
	`{"actions":[{"type":"transaction","data":{"actions":[]}}]}`,
	`{"actions":"quit"}`, `{}`,
}

// TestAttackPolicy has a helper say what its policy does not allow in ways that look as if it did: denied actions wrapped in a
// transaction, other names for the same argument or object, files behind other names, descriptors of others.
func TestAttackPolicy(t *testing.T) {
	besiegeWith(t, policyFlag, func(t *testing.T, s *siege) {
		object := helper.MustDial(t, s.address).Object(busName, qmpPath)
		byJSON := func(command, text string) error { return object.Call(qmpIf+".CallJson", 0, command, text).Err }
		for _, test := range denied {
			if got, want := errorName(byJSON(test.command, test.arguments)), dbusError+"AccessDenied"; got != want {
				t.Errorf("%s %s: %s, want %s", test.command, test.arguments, got, want)
			}
		}
		for _, text := range meaningless {
			if got, want := errorName(byJSON("transaction", text)), dbusError+"InvalidArgs"; got != want {
				t.Errorf("transaction %s: %s, want %s", text, got, want)
			}
		}
		s.nothingExecuted()

		// The policy is no wall: what it allows is executed, as it was decided.
		if err := byJSON("transaction", `{"actions":[`+addBitmap+`]}`); err != nil {
			t.Error(err)
		}
		var kind dbus.Variant
		if err := object.Call(qmpIf+".QomGet", 0, "/machine/peripheral/balloon0", "type").Store(&kind); err != nil || kind.Value() != "virtio-balloon-pci" {
			t.Errorf("type = %v, %v", kind, err)
		}
		want := []string{
			`transaction {"actions": [{"type": "block-dirty-bitmap-add", "data": {"node": "n0", "name": "b"}}]}`,
			`qom-get {"path": "/machine/peripheral/balloon0", "property": "type"}`,
		}
		got := s.executed()
		for i := range got { // QEMU logs the members of objects in any order
			got[i] = sortedJSON(t, got[i])
		}
		for i := range want {
			want[i] = sortedJSON(t, want[i])
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("QEMU was told (-want +got):\n%s", diff)
		}
	})
}

// sortedJSON writes a command with the members of its arguments in order.
func sortedJSON(t testing.TB, command string) string {
	t.Helper()
	name, arguments, _ := strings.Cut(command, " ")
	var v any
	if err := json.Unmarshal([]byte(arguments), &v); err != nil {
		t.Fatal(err)
	}
	sorted, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return name + " " + string(sorted)
}

// policyFlag writes the policy.
func policyFlag(t testing.TB, dir string) []string {
	t.Helper()
	path := dir + "/narrow.cedar"
	if err := os.WriteFile(path, []byte(narrow), 0o600); err != nil {
		t.Fatal(err)
	}
	return []string{"--policy", path}
}
