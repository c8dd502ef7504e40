package access_test

import (
	"slices"
	"testing"

	"qmp-dbus-bridge/bridge/access"
	"qmp-dbus-bridge/bridge/action"
)

func TestAdministers(t *testing.T) {
	rules := newAuthorizer(t)
	for _, s := range subjects() {
		want := slices.Contains(s.classes, action.ClassHost)
		if got := rules.Administers(newCaller(t, s.uid, s.gids...)); got != want {
			t.Errorf("%s: %v, want %v", s.name, got, want)
		}
	}
	if rules.Administers(nil) || rules.Administers(&access.Caller{}) {
		t.Error("who has no identity is an administrator")
	}
}
