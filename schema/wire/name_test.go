package wire_test

import (
	"strings"
	"testing"

	"qmp-dbus-bridge/schema/wire"
)

func TestNames(t *testing.T) {
	long := func(n int) string { return "a." + strings.Repeat("b", n-2) }
	tests := []struct {
		name  string
		valid func(string) bool
		yes   []string
		no    []string
	}{
		{
			"ValidPath", wire.ValidPath,
			[]string{"/", "/a", "/org/qemu/VM1", "/_/0", "/" + strings.Repeat("x", 1<<16)},
			[]string{"", "a", "//", "/a/", "/a//b", "/a-b", "/a.b", "/é", "/a\x00", "a/b", "/ "},
		},
		{
			"ValidInterface", wire.ValidInterface,
			[]string{"a.b", "org.qemu.VM1", "_a.b0._", long(wire.MaxName)},
			[]string{"", "a", ".", ".a.b", "a.b.", "a..b", "a.0b", "0.b", "a-b.c", "a.é", long(wire.MaxName + 1)},
		},
		{
			"ValidErrorName", wire.ValidErrorName,
			[]string{"org.qemu.VM1.Error.Busy"},
			[]string{"Busy", "org.qemu.VM1.Error.", "org.qemu.7"},
		},
		{
			"ValidMember", wire.ValidMember,
			[]string{"a", "Pause", "_0", strings.Repeat("m", wire.MaxName)},
			[]string{"", "0a", "a.b", "a-b", "é", "a\x00", strings.Repeat("m", wire.MaxName+1)},
		},
		{
			"ValidBusName", wire.ValidBusName,
			[]string{":1.5", ":0.0", ":a-b.c", "a.b", "a-b.-c", "_.b", long(wire.MaxName), ":1." + strings.Repeat("5", wire.MaxName-3)},
			[]string{
				"", ":", ":1", ":1.", ":.1", "a", "a.", ".a", "a..b", "a.0", "a.b:c", "a.é", "a b.c",
				long(wire.MaxName + 1), ":1." + strings.Repeat("5", wire.MaxName-2),
			},
		},
	}
	for _, test := range tests {
		for _, s := range test.yes {
			if !test.valid(s) {
				t.Errorf("%s(%q) = false", test.name, s)
			}
		}
		for _, s := range test.no {
			if test.valid(s) {
				t.Errorf("%s(%q) = true", test.name, s)
			}
		}
	}
}
