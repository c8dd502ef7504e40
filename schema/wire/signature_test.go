package wire_test

import (
	"errors"
	"strings"
	"testing"

	"qmp-dbus-bridge/schema/wire"
)

func TestValidateSignature(t *testing.T) {
	nest := func(n int, open, inner, end string) string {
		return strings.Repeat(open, n) + inner + strings.Repeat(end, n)
	}
	both := nest(32, "a", nest(32, "(", "y", ")"), "")
	tests := []struct {
		signature string
		ok        bool
	}{
		{"", true},
		{"ybnqiuxtdsogvh", true},
		{"a{sv}", true},
		{"a{sa{oas}}", true},
		{"a(ii(s))aav", true},
		{"a{ha{gv}}", true},
		{"a", false},
		{"aa", false},
		{"()", false},
		{"(", false},
		{"(i", false},
		{"i)", false},
		{"(a)", false},
		{"{sv}", false},
		{"({sv})", false},
		{"a{}", false},
		{"a{s}", false},
		{"a{svi}", false},
		{"a{vs}", false},
		{"a{(s)s}", false},
		{"a{ass}", false},
		{"a{sv", false},
		{"a{s", false},
		{"a{", false},
		{"a{s{ss}}", false},
		{"a(s}", false},
		{"a{sv)", false},
		{"r", false},
		{"e", false},
		{"m", false},
		{"*", false},
		{"?", false},
		{"i\x00", false},
		{"é", false},
		{strings.Repeat("y", wire.MaxSignature), true},
		{nest(wire.MaxArrayDepth, "a", "y", ""), true},
		{nest(wire.MaxStructDepth, "(", "y", ")"), true},
		{nest(wire.MaxStructDepth, "a{s", "y", "}"), true},
		{both, true},
		{both + both, true},
	}
	for _, test := range tests {
		if err := wire.ValidateSignature(test.signature); (err == nil) != test.ok {
			t.Errorf("ValidateSignature(%q) = %v, want ok %v", test.signature, err, test.ok)
		}
	}
	over := []string{
		strings.Repeat("y", wire.MaxSignature+1),
		nest(wire.MaxArrayDepth+1, "a", "y", ""),
		nest(wire.MaxStructDepth+1, "(", "y", ")"),
		"(" + nest(wire.MaxStructDepth, "a{s", "y", "}") + ")",
		nest(wire.MaxArrayDepth, "a(", "ay", ")"),
	}
	for _, signature := range over {
		if err := wire.ValidateSignature(signature); !errors.Is(err, wire.ErrLimit) {
			t.Errorf("ValidateSignature(%q) = %v, want ErrLimit", signature, err)
		}
	}
}

func TestSplitSignature(t *testing.T) {
	tests := []struct{ in, first, rest string }{
		{"", "", ""},
		{"s", "s", ""},
		{"sv", "s", "v"},
		{"a{sv}as", "a{sv}", "as"},
		{"aai(ii)", "aai", "(ii)"},
		{"(a(ii)s)u", "(a(ii)s)", "u"},
	}
	for _, test := range tests {
		first, rest := wire.SplitSignature(test.in)
		if first != test.first || rest != test.rest {
			t.Errorf("SplitSignature(%q) = %q, %q, want %q, %q", test.in, first, rest, test.first, test.rest)
		}
	}
}
