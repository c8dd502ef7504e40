package inventory_test

import (
	"fmt"
	"strings"
	"testing"
)

// TestMigration has replies of QEMUs on both sides of a migration, and others that no QEMU gives.
func TestMigration(t *testing.T) {
	const active = `{"expected-downtime": 300, "status": "active", "setup-time": 0, "total-time": 2001, "ram": {"total": 67641344,` +
		` "postcopy-requests": 0, "dirty-sync-count": 1, "remaining": 24821760, "mbps": 0.79, "transferred": 225293}}`
	for _, test := range []struct {
		what, reply, want string
		moving            bool
	}{
		{"none yet", `{}`, `none 0 0 0 0 0`, false},
		{"7.2's target waits", `{"socket-address": [{"path": "/p", "type": "unix"}]}`, `none 0 0 0 0 0`, true},
		{"10's target waits", `{"status": "setup", "socket-address": [{"path": "/p", "type": "unix"}]}`, `setup 0 0 0 0 0`, true},
		{"7.2's source", active, `active 225293 24821760 67641344 0.6330386338863994 0`, true},
		{"7.2's target", `{"status": "active", "socket-address": [{"path": "/p", "type": "unix"}]}`, `active 0 0 0 0 0`, true},
		{"the target has all", `{"status": "completed"}`, `completed 0 0 0 1 0`, false},
		{
			"nobody listened", `{"status": "failed", "error-desc": "Failed to connect to '127.0.0.1:1': Connection refused"}`,
			`failed 0 0 0 0 0 Failed to connect to '127.0.0.1:1': Connection refused`, false,
		},
		{
			"more remains than there is", `{"status": "active", "ram": {"total": 4, "remaining": 5, "transferred": -1}, "downtime": -1}`,
			`active 0 5 4 0 0`, true,
		},
		{"less than nothing remains", `{"status": "active", "ram": {"total": 4, "remaining": -5}}`, `active 0 0 4 1 0`, true},
		{"less than nothing", `{"status": "active", "ram": {"total": -4, "remaining": -4}}`, `active 0 0 0 0 0`, true},
		{"completed with a rest", `{"status": "completed", "ram": {"total": 4, "remaining": 1}, "downtime": 7}`, `completed 0 1 4 1 7`, false},
	} {
		q := query(t, "query-migrate")
		r, err := q.Read([]byte(test.reply))
		if err != nil || len(r.Items) != 1 || r.Items[0].Element != "migration" {
			t.Fatalf("%s: %v, %v", test.what, r, err)
		}
		var got []any
		for i, p := range q.Kind.Properties {
			got = append(got, decode(t, r.Items[0].Values[i], p.Type).Value())
		}
		if text := strings.TrimSpace(fmt.Sprintln(got...)); text != test.want || r.Moving != test.moving {
			t.Errorf("%s: %s, moving = %v; want %s, %v", test.what, text, r.Moving, test.want, test.moving)
		}
	}
}

// TestMigrationMoves has each status that QEMU has: which are to be asked for again.
func TestMigrationMoves(t *testing.T) {
	for status, want := range map[string]bool{
		"none": false, "setup": true, "cancelling": true, "cancelled": false, "active": true, "postcopy-active": true,
		"postcopy-paused": true, "postcopy-recover": true, "postcopy-recover-setup": true, "postcopy-device": true,
		"completed": false, "failed": false, "colo": true, "pre-switchover": true, "device": true, "wait-unplug": true, "new": true,
	} {
		r, err := query(t, "query-migrate").Read([]byte(`{"status": "` + status + `"}`))
		if err != nil || r.Moving != want {
			t.Errorf("%s: moving = %v, %v; want %v", status, r.Moving, err, want)
		}
	}
}
