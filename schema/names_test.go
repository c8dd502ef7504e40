package schema_test

import (
	"strings"
	"testing"

	"qmp-dbus-bridge/schema"
)

func TestMethodName(t *testing.T) {
	long := strings.Repeat("a", 255)
	for command, want := range map[string]string{
		"query-status":             "QueryStatus",
		"x-blockdev-change":        "XBlockdevChange",
		"queryStatus":              "QueryStatus",
		"x-query-TPM":              "XQueryTPM",
		"3d-status":                "_3dStatus",
		"--4":                      "_4",
		"":                         "_",
		"--":                       "_",
		"h\u00e9llo":               "HLlo",
		"a\x00b":                   "AB",
		long:                       "A" + long[1:],
		long + "a":                 "",
		"9" + long[1:]:             "", // with the "_" one too long
		"-" + long:                 "A" + long[1:],
		"org.freedesktop.x_y-Zeta": "OrgFreedesktopXYZeta",
	} {
		if got := schema.MethodName(command); got != want {
			t.Errorf("MethodName(%q) = %q, want %q", command, got, want)
		}
	}
}

func TestSignalName(t *testing.T) {
	for event, want := range map[string]string{
		"BLOCK_JOB_COMPLETED": "BlockJobCompleted",
		"VSERPORT_CHANGE":     "VserportChange",
		"X_3D":                "X3d",
		"3D":                  "_3d",
		"":                    "_",
	} {
		if got := schema.SignalName(event); got != want {
			t.Errorf("SignalName(%q) = %q, want %q", event, got, want)
		}
	}
}
