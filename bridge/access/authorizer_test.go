package access_test

import (
	"os"
	"slices"
	"strings"
	"testing"

	"qmp-dbus-bridge/bridge/access"
	"qmp-dbus-bridge/bridge/action"
	"qmp-dbus-bridge/bridge/policytext"
)

const bridgeUID = 500

func newCaller(tb testing.TB, uid uint32, gids ...uint32) *access.Caller {
	tb.Helper()
	caller, err := access.NewCaller(":1.5", uid, gids, 42, "")
	if err != nil {
		tb.Fatal(err)
	}
	return caller
}

// table reads the first two columns of one of action's tables.
func table(tb testing.TB, file string) map[string]action.Class {
	tb.Helper()
	text, err := os.ReadFile("../action/" + file)
	if err != nil {
		tb.Fatal(err)
	}
	rows := make(map[string]action.Class)
	for line := range strings.Lines(string(text)) {
		if columns := strings.Split(line, "\t"); line[0] != '#' {
			rows[columns[0]] = action.Class(columns[1])
		}
	}
	if len(rows) < 50 {
		tb.Fatalf("%s has %d rows", file, len(rows))
	}
	return rows
}

// newAuthorizer grants each role to a uid (1001 to 1004) and to a gid (2001 to 2004).
func newAuthorizer(tb testing.TB, files ...string) *access.Authorizer {
	tb.Helper()
	config := access.Config{VM: "vm", BridgeUID: bridgeUID, Files: files}
	for i, role := range []policytext.Role{
		policytext.RoleViewer, policytext.RoleOperator, policytext.RoleHelper, policytext.RoleAdmin,
	} {
		config.Grants = append(config.Grants,
			access.Grant{Role: role, ID: 1001 + uint32(i)},
			access.Grant{Role: role, Group: true, ID: 2001 + uint32(i)})
	}
	rules, err := access.New(config)
	if err != nil {
		tb.Fatal(err)
	}
	return rules
}

var (
	viewerClasses   = []action.Class{action.ClassRead}
	operatorClasses = []action.Class{action.ClassRead, action.ClassLifecycle, action.ClassInput}
	adminClasses    = []action.Class{
		action.ClassRead, action.ClassSensitiveRead, action.ClassLifecycle, action.ClassInput,
		action.ClassDevice, action.ClassStorage, action.ClassNetwork, action.ClassMigration,
		action.ClassDebug, action.ClassHost,
	}
)

// subject is somebody with the classes that the built-in policy gives.
type subject struct {
	name    string
	uid     uint32
	gids    []uint32
	classes []action.Class
}

func subjects() []subject {
	return []subject{
		{"stranger", 1000, []uint32{1000, 1001, 1004}, nil}, // gids that are granted as uids only
		{"user with a granted gid as uid", 2004, nil, nil},
		{"group root", 1000, []uint32{0}, nil},
		{"viewer", 1001, nil, viewerClasses},
		{"operator", 1002, nil, operatorClasses},
		{"helper", 1003, nil, viewerClasses},
		{"admin", 1004, nil, adminClasses},
		{"viewer by group", 1000, []uint32{1000, 2001}, viewerClasses},
		{"operator by group", 1000, []uint32{2002}, operatorClasses},
		{"helper by group", 1000, []uint32{2003}, viewerClasses},
		{"admin by group", 1000, []uint32{5, 2004}, adminClasses},
		{"viewer and operator", 1001, []uint32{2002}, operatorClasses},
		{"root", 0, nil, adminClasses},
		{"bridge", bridgeUID, nil, adminClasses},
	}
}

// mayCommand is the built-in policy in other words.
func (s subject) mayCommand(name string, class action.Class) bool {
	if name == "quit" {
		return slices.Contains(s.classes, action.ClassHost)
	}
	return slices.Contains(s.classes, class)
}

func TestMatrix(t *testing.T) {
	rules := newAuthorizer(t)
	commands, events := table(t, "risk.tsv"), table(t, "events.tsv")
	commands["not-in-the-table"] = action.ClassHost
	events["NOT_IN_THE_TABLE"] = action.ClassSensitiveRead
	for _, s := range subjects() {
		caller := newCaller(t, s.uid, s.gids...)
		check := func(action action.Action, want bool) {
			t.Helper()
			got := rules.Decide(caller, action, nil)
			if got.Allowed() != want {
				t.Errorf("%s: %v = %v by %s, want %v", s.name, action, got.Allowed(), got.Policy(), want)
			}
			if got.Action() != action.String() || got.Err() != nil {
				t.Errorf("%s: %v: decision names %q, error %v", s.name, action, got.Action(), got.Err())
			}
		}
		for name, class := range commands {
			check(action.Command(name), s.mayCommand(name, class))
		}
		for name, class := range events {
			check(action.Event(name), slices.Contains(s.classes, class))
		}
		for _, other := range []action.Action{
			action.ReadProperties(), action.Introspect(), action.Subscribe(),
		} {
			check(other, slices.Contains(s.classes, action.ClassRead))
		}
	}
}

func TestNobodyIsDenied(t *testing.T) {
	rules := newAuthorizer(t, policyFile(t, `permit (principal, action, resource);`))
	for name, caller := range map[string]*access.Caller{
		"nil":               nil,
		"zero":              {},
		"literal":           {Name: ":1.5", UID: 1004},
		"literal root":      {Name: ":1.5"},
		"literal nobody":    {Name: ":1.5", UID: 65534},
		"literal overflow":  {Name: ":1.5", UID: 4294967295},
		"literal no caller": {UID: 1004},
	} {
		if got := rules.Decide(caller, action.Command("query-status"), nil); got.Allowed() || got.Policy() != "no-identity" {
			t.Errorf("%s: allowed %v by %s, want a denial by no-identity", name, got.Allowed(), got.Policy())
		}
	}
}

func TestZeroValuesDeny(t *testing.T) {
	var decision access.Decision
	if decision.Allowed() || decision.Policy() != "default-deny" {
		t.Errorf("zero Decision: allowed %v by %s", decision.Allowed(), decision.Policy())
	}
	if got := newAuthorizer(t).Decide(newCaller(t, 0), action.Action{}, nil); got.Allowed() {
		t.Errorf("zero Action is allowed by %s", got.Policy())
	}
}

// Names of commands that read like another kind of action are never decided as that.
func TestForgedActions(t *testing.T) {
	rules := newAuthorizer(t, policyFile(t, `
		@id("forge") permit (principal in User::"1000", action in
			[Action::"read-properties", Action::"introspect", Action::"subscribe", Action::"event:STOP",
			 Action::"class:read", Action::"stop"], resource);`))
	stranger, viewer, root := newCaller(t, 1000), newCaller(t, 1001), newCaller(t, 0)
	for _, name := range []string{"read-properties", "introspect", "subscribe"} {
		for _, caller := range []*access.Caller{stranger, viewer} {
			if got := rules.Decide(caller, action.Command(name), nil); got.Allowed() {
				t.Errorf("uid %d: command %q is allowed by %s", caller.UID, name, got.Policy())
			}
		}
		if got := rules.Decide(root, action.Command(name), nil); !got.Allowed() || got.Policy() != "admin" {
			t.Errorf("root: command %q: %v by %s, want allowed by admin", name, got.Allowed(), got.Policy())
		}
	}
	for _, name := range []string{
		"event:STOP", "class:read", "command:stop", "command:read-properties", ":", strings.Repeat("x", 256),
	} {
		for _, caller := range []*access.Caller{stranger, viewer, root} {
			got := rules.Decide(caller, action.Command(name), nil)
			if got.Allowed() || got.Policy() != "invalid-action" {
				t.Errorf("uid %d: command %q: %v by %s, want a denial by invalid-action",
					caller.UID, name, got.Allowed(), got.Policy())
			}
		}
	}
	if got := rules.Decide(root, action.Command(strings.Repeat("x", 255)), nil); !got.Allowed() {
		t.Errorf("root: command of 255 bytes is denied by %s", got.Policy())
	}
	if got := rules.Decide(root, action.Event(strings.Repeat("x", 255)), nil); !got.Allowed() {
		t.Errorf("root: event of 255 bytes is denied by %s", got.Policy())
	}
	if got := rules.Decide(root, action.Event(strings.Repeat("x", 256)), nil); got.Allowed() {
		t.Errorf("root: event of 256 bytes is allowed by %s", got.Policy())
	}
}

func TestDecidingPolicy(t *testing.T) {
	rules := newAuthorizer(t)
	for _, tt := range []struct {
		uid    uint32
		action action.Action
		want   string
	}{
		{1000, action.Command("query-status"), "default-deny"},
		{1001, action.Command("stop"), "default-deny"},
		{1002, action.Command("quit"), "quit-stays-with-admin"},
		{0, action.Command("qmp_capabilities"), "no-qmp-capabilities"},
		{1001, action.Command("query-status"), "viewer"},
		{1002, action.Command("stop"), "operator"},
		{1003, action.ReadProperties(), "helper"},
		{1004, action.Command("migrate"), "admin"},
		{0, action.Command("quit"), "admin-quit"},
	} {
		if got := rules.Decide(newCaller(t, tt.uid), tt.action, nil).Policy(); got != tt.want {
			t.Errorf("uid %d, %v: decided by %s, want %s", tt.uid, tt.action, got, tt.want)
		}
	}
}

// A Caller keeps what an Authorizer made of it; another Authorizer must not take that over.
func TestCallerMeetsAnotherAuthorizer(t *testing.T) {
	caller := newCaller(t, 1004)
	if !newAuthorizer(t).Decide(caller, action.Command("stop"), nil).Allowed() {
		t.Fatal("admin may not stop")
	}
	bare, err := access.New(access.Config{VM: "vm", BridgeUID: bridgeUID})
	if err != nil {
		t.Fatal(err)
	}
	if got := bare.Decide(caller, action.Command("stop"), nil); got.Allowed() {
		t.Errorf("without the grant: allowed by %s", got.Policy())
	}
}

func TestNewRefusesGrants(t *testing.T) {
	for _, grant := range []access.Grant{
		{}, {Role: "root", ID: 1}, {Role: policytext.RoleAdmin, ID: 65534}, {Role: policytext.RoleAdmin, Group: true, ID: 4294967295},
	} {
		if _, err := access.New(access.Config{Grants: []access.Grant{grant}}); err == nil {
			t.Errorf("grant %v is accepted", grant)
		}
	}
}
