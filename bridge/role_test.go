package bridge_test

import (
	"slices"
	"strings"
	"testing"

	"qmp-dbus-bridge/e2e/rig"
)

// classOf has commands of each class.
var classOf = map[string][]string{
	"read":            {"query-version", "query-pci"},
	"sensitive-read":  {"query-named-block-nodes", "qom-get"},
	"lifecycle":       {"stop", "system_reset"},
	"input":           {"send-key"},
	"device":          {"device_del", "balloon"},
	"storage":         {"block_resize"},
	"network":         {"set_link"},
	"migration":       {"migrate_cancel"},
	"debug":           {"trace-event-set-state"},
	"host":            {"human-monitor-command", "blockdev-add", "no-such-command", "STOP", "Stop", "subscribe", "introspect"},
	"monitor-control": {"x-oob-test"},
	"handshake":       {"qmp_capabilities"}, // ours for the table: for nobody
	"invalid":         {"event:STOP", "", "query-status\x01", "query status"},
	"quit":            {"quit"},
}

// roles says what each may run.
var roles = []struct {
	name string
	user rig.User
	may  []string
}{
	{"stranger", stranger, nil},
	{"nobody", rig.User{UID: 65534, GID: 65534}, nil},
	{"viewer", viewer, []string{"read"}},
	{"helper", helper, []string{"read"}},
	{"operator", operator, []string{"read", "lifecycle", "input"}},
	{"admin", admin, []string{
		"read", "sensitive-read", "lifecycle", "input", "device", "storage", "network", "migration", "debug", "host", "quit",
	}},
}

// TestRoles runs a command of each class as each role, by Call and CallJson: what is denied
// does not reach QEMU, what is allowed does, and CanExecute says the same beforehand.
func TestRoles(t *testing.T) {
	var names []string
	for class, commands := range classOf {
		for _, command := range commands {
			if !isNone(command, class) {
				names = append(names, command)
			}
		}
	}
	m := newMachine(t, map[string]string{"query-qmp-schema": schemaOf(t, names, nil)})
	w := serve(t, m)
	for _, role := range roles {
		t.Run(role.name, func(t *testing.T) {
			w.tb, m.tb = t, t
			c := w.as(role.user)
			for _, allowed := range []bool{false, true} { // denials first
				for class, commands := range classOf {
					if slices.Contains(role.may, class) != allowed {
						continue
					}
					for _, command := range commands {
						c.tryCommand(m, command, class, allowed, role.may != nil)
					}
				}
			}
		})
	}
}

// isNone tells whether the fake QEMU, and any other, has no command of that name.
func isNone(command, class string) bool {
	return class == "invalid" || strings.ToLower(command) != command
}

// tryCommand runs a command and checks that it is allowed or not, as known if the caller has
// any role.
func (c *caller) tryCommand(m *machine, command, class string, allowed, known bool) {
	c.tb.Helper()
	if known {
		can, err := c.call(vmPath, busName+".CanExecute", command)
		switch {
		case isNone(command, class):
			if errorName(err) != dbusError+"InvalidArgs" {
				c.tb.Errorf("CanExecute(%q) = %v, %v, want InvalidArgs", command, can, err)
			}
		case err != nil || can != allowed:
			c.tb.Errorf("CanExecute(%q) = %v, %v, want %v", command, can, err, allowed)
		}
	}
	_, err := c.execute(command)
	_, jsonErr := c.call(qmpPath, callJSON, command, "")
	reached := len(m.commands())
	switch {
	case class == "invalid" && allowed:
		c.tb.Fatal("the table allows what can't be")
	case allowed && (err != nil || jsonErr != nil || reached != 2):
		c.tb.Errorf("%s (%s) = %v, %v and reached QEMU %d times, want success", command, class, err, jsonErr, reached)
	case class == "invalid" && errorName(err) == ourError+"Qmp.CommandNotFound" && known && reached == 0:
		return // an administrator may; there is just no such command
	case !allowed && (errorName(err) != dbusError+"AccessDenied" || errorName(jsonErr) != dbusError+"AccessDenied" || reached != 0):
		c.tb.Errorf("%s (%s) = %v, %v and reached QEMU %d times, want AccessDenied", command, class, err, jsonErr, reached)
	}
}

// TestListCommands has each role asked what it may run of what QEMU has.
func TestListCommands(t *testing.T) {
	m := newMachine(t, map[string]string{
		"query-qmp-schema": schemaOf(t, []string{"stop", "query-name", "quit", "qmp_capabilities", "blockdev-add"}, nil),
	})
	w := serve(t, m)
	for _, test := range []struct {
		user rig.User
		want []string
	}{
		{viewer, []string{"query-name"}},
		{operator, []string{"query-name", "stop"}},
		{admin, []string{"blockdev-add", "query-name", "quit", "stop"}},
	} {
		got, err := w.as(test.user).call(vmPath, busName+".ListCommands")
		if list, ok := got.([]string); !ok || !slices.Equal(list, test.want) {
			t.Errorf("ListCommands of uid %d = %v, %v, want %v", test.user.UID, got, err, test.want)
		}
	}
}
