package access_test

import (
	"strings"
	"testing"

	"qmp-dbus-bridge/bridge/access"
)

func TestActionNames(t *testing.T) {
	long := strings.Repeat("x", 255)
	for _, tt := range []struct {
		action access.Action
		name   string
		class  access.Class
	}{
		{access.Command("stop"), "stop", access.ClassLifecycle},
		{access.Command("no-such-command"), "no-such-command", access.ClassHost},
		{access.Command("with space"), "with space", access.ClassHost},
		{access.Command(""), "", access.ClassHost},
		{access.Command("read-properties"), "command:read-properties", access.ClassHost},
		{access.Command("introspect"), "command:introspect", access.ClassHost},
		{access.Command("subscribe"), "command:subscribe", access.ClassHost},
		{access.Command("event:STOP"), "command:event:STOP", access.ClassHost},
		{access.Command("class:read"), "command:class:read", access.ClassHost},
		{access.Command("command:stop"), "command:command:stop", access.ClassHost},
		{access.Command(long), long, access.ClassHost},
		{access.Command(long + "y"), "command:" + long, access.ClassHost},
		{access.Command(long[:254] + "é"), "command:" + long[:254], access.ClassHost},
		{access.Event("STOP"), "event:STOP", access.ClassRead},
		{access.Event("VNC_CONNECTED"), "event:VNC_CONNECTED", access.ClassSensitiveRead},
		{access.Event("NEW"), "event:NEW", access.ClassSensitiveRead},
		{access.Event(long + "y"), "event:" + long, access.ClassSensitiveRead},
		{access.ReadProperties(), "read-properties", access.ClassRead},
		{access.Introspect(), "introspect", access.ClassRead},
		{access.Subscribe(), "subscribe", access.ClassRead},
	} {
		if got := tt.action.String(); got != tt.name {
			t.Errorf("name = %q, want %q", got, tt.name)
		}
		if got := tt.action.Class(); got != tt.class {
			t.Errorf("%q: class = %q, want %q", tt.name, got, tt.class)
		}
	}
}
