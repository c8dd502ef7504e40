package turns_test

import (
	"slices"
	"strings"
	"testing"

	"qmp-dbus-bridge/bridge/turns"
)

// list has members such as "a1", of the group that their first letter names, wait.
func list(members string) *turns.List[byte, string] {
	l := new(turns.List[byte, string])
	for m := range strings.FieldsSeq(members) {
		l.Add(m[0], m)
	}
	return l
}

// order takes everybody off.
func order(l *turns.List[byte, string], may func(string) bool) string {
	var taken []string
	for {
		v, found := l.Next(may)
		if !found {
			return strings.Join(taken, " ")
		}
		taken = append(taken, v)
	}
}

func TestTurns(t *testing.T) {
	for _, tt := range []struct{ wait, want string }{
		{"", ""},
		{"a1", "a1"},
		{"a1 a2 a3", "a1 a2 a3"},
		{"a1 a2 a3 b1", "a1 b1 a2 a3"},
		{"a1 a2 b1 a3 b2 c1", "a1 b1 c1 a2 b2 a3"},
	} {
		l := list(tt.wait)
		if got := order(l, nil); got != tt.want {
			t.Errorf("%q take their turns as %q, want %q", tt.wait, got, tt.want)
		}
		if !l.Empty() {
			t.Errorf("%q: not empty", tt.wait)
		}
	}
}

// A group that comes late waits for one of another group, though that has many.
func TestNewcomer(t *testing.T) {
	l := list("a1 a2 a3 a4 a5")
	first, _ := l.Next(nil)
	l.Add('b', "b1")
	second, _ := l.Next(nil)
	third, _ := l.Next(nil)
	if got := []string{first, second, third}; !slices.Equal(got, []string{"a1", "a2", "b1"}) {
		t.Errorf("turns %v, want a1 a2 b1", got)
	}
}

// Who may not have a turn keeps its place.
func TestMay(t *testing.T) {
	l := list("a1 a2 b1")
	notA := func(v string) bool { return v[0] != 'a' }
	if got := order(l, notA); got != "b1" {
		t.Errorf("turns %q, want b1", got)
	}
	if got := order(l, func(v string) bool { return v != "a1" }); got != "a2" {
		t.Errorf("turns %q, want a2", got)
	}
	if got := order(l, nil); got != "a1" {
		t.Errorf("turns %q, want a1", got)
	}
}

func TestRemove(t *testing.T) {
	l := list("a1 a2 b1 c1")
	l.Remove("b1")
	l.Remove("a1")
	l.Remove("nobody")
	if _, found := l.Find(func(v string) bool { return v == "a2" }); !found {
		t.Error("a2 does not wait")
	}
	if _, found := l.Find(func(v string) bool { return v == "b1" }); found {
		t.Error("b1 waits")
	}
	if got := order(l, nil); got != "a2 c1" {
		t.Errorf("turns %q, want a2 c1", got)
	}
}

// TestNoGarbage has one come and go: that makes nothing anew.
func TestNoGarbage(t *testing.T) {
	l := list("")
	if n := testing.AllocsPerRun(100, func() {
		l.Add('a', "a1")
		l.Next(nil)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
