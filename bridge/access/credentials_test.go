package access_test

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/godbus/dbus/v5"

	"qmp-dbus-bridge/bridge/access"
)

// credentials is a reply to GetConnectionCredentials.
type credentials = map[string]dbus.Variant

func goodCredentials() credentials {
	return credentials{
		"UnixUserID":         dbus.MakeVariant(uint32(1000)),
		"UnixGroupIDs":       dbus.MakeVariant([]uint32{1001, 1000, 1001, 65534, 4294967295}),
		"ProcessID":          dbus.MakeVariant(uint32(42)),
		"LinuxSecurityLabel": dbus.MakeVariant([]byte("u:r:t:s0\x00")),
		"Unknown":            dbus.MakeVariant("ignored"),
	}
}

func TestParseCredentialsRefuses(t *testing.T) {
	for _, tt := range []struct {
		name  string
		key   string
		value any // nil: the key is missing
	}{
		{"no uid", "UnixUserID", nil},
		{"uid is signed", "UnixUserID", int32(1000)},
		{"uid is a string", "UnixUserID", "1000"},
		{"uid is 64 bits", "UnixUserID", uint64(1000)},
		{"uid in a variant", "UnixUserID", dbus.MakeVariant(uint32(1000))},
		{"uid nobody", "UnixUserID", uint32(65534)},
		{"uid -1", "UnixUserID", uint32(4294967295)},
		{"gids signed", "UnixGroupIDs", []int32{1}},
		{"gids one number", "UnixGroupIDs", uint32(1)},
		{"too many gids", "UnixGroupIDs", make([]uint32, 1025)},
		{"pid is a string", "ProcessID", "42"},
		{"label is a string", "LinuxSecurityLabel", "label"},
		{"label with NUL", "LinuxSecurityLabel", []byte("a\x00b\x00")},
		{"label with two NULs at the end", "LinuxSecurityLabel", []byte("a\x00\x00")},
		{"label too long", "LinuxSecurityLabel", []byte(strings.Repeat("x", 4097))},
	} {
		reply := goodCredentials()
		delete(reply, tt.key)
		if tt.value != nil {
			reply[tt.key] = dbus.MakeVariant(tt.value)
		}
		caller, err := access.ParseCredentials(":1.5", reply)
		if caller != nil || !errors.Is(err, access.ErrNoIdentity) {
			t.Errorf("%s: got %v, %v, want ErrNoIdentity", tt.name, caller, err)
		}
	}
}

func TestParseCredentialsRefusesNames(t *testing.T) {
	for _, name := range []string{"", ":", "org.qemu.VM1", "org.freedesktop.DBus", ":" + strings.Repeat("1", 255)} {
		if caller, err := access.ParseCredentials(name, goodCredentials()); !errors.Is(err, access.ErrNoIdentity) {
			t.Errorf("name %q: got %v, %v, want ErrNoIdentity", name, caller, err)
		}
	}
}

func TestParseCredentials(t *testing.T) {
	caller, err := access.ParseCredentials(":1.5", goodCredentials())
	if err != nil {
		t.Fatal(err)
	}
	if caller.Name != ":1.5" || caller.UID != 1000 || caller.PID != 42 || caller.Label != "u:r:t:s0" ||
		!slices.Equal(caller.GIDs, []uint32{1000, 1001}) {
		t.Errorf("got %q uid %d gids %v pid %d label %q",
			caller.Name, caller.UID, caller.GIDs, caller.PID, caller.Label)
	}
}

func TestParseCredentialsAtTheLimits(t *testing.T) {
	for name, change := range map[string]credentials{
		"1024 groups":              {"UnixGroupIDs": dbus.MakeVariant(make([]uint32, 1024))},
		"4096 bytes of label":      {"LinuxSecurityLabel": dbus.MakeVariant([]byte(strings.Repeat("x", 4096) + "\x00"))},
		"a label without its NUL":  {"LinuxSecurityLabel": dbus.MakeVariant([]byte("label"))},
		"an empty label":           {"LinuxSecurityLabel": dbus.MakeVariant([]byte{0})},
		"no groups":                {"UnixGroupIDs": dbus.MakeVariant([]uint32{})},
		"a label that isn't UTF-8": {"LinuxSecurityLabel": dbus.MakeVariant([]byte("\xff\x00"))},
	} {
		reply := goodCredentials()
		maps.Copy(reply, change)
		if _, err := access.ParseCredentials(":1.5", reply); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	only := credentials{"UnixUserID": dbus.MakeVariant(uint32(0))}
	if caller, err := access.ParseCredentials(":"+strings.Repeat("1", 254), only); err != nil || caller.UID != 0 {
		t.Errorf("only a uid: got %v, %v", caller, err)
	}
}
