package access_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/godbus/dbus/v5"
	"github.com/google/go-cmp/cmp"

	"qmp-dbus-bridge/bridge/access"
	"qmp-dbus-bridge/bridge/action"
	"qmp-dbus-bridge/e2e/rig"
)

// namePolicy lets who owns a name stop, and who does not own another start again.
const namePolicy = `
@id("owner") permit (principal in User::"1000", action == Action::"stop", resource)
  when { principal.busNames.contains("org.qemu.Virtiofs") };
@id("no-guest") permit (principal in User::"1000", action == Action::"cont", resource)
  unless { principal has busNames && principal.busNames.contains("com.example.Guest") };`

// verdicts are the policies that decide stop and cont for the caller.
func verdicts(rules *access.Authorizer, caller *access.Caller) string {
	return rules.Decide(caller, action.Command("stop"), nil).Policy() + " " + rules.Decide(caller, action.Command("cont"), nil).Policy()
}

const (
	unknownNames = "error:owner error:no-guest" // also by "has": unknown is not none
	noNames      = "default-deny no-guest"
	virtiofs     = "owner no-guest"
	guest        = "default-deny default-deny"
	bothNames    = "owner default-deny"
)

func TestNamesOfACaller(t *testing.T) {
	rules, caller := newAuthorizer(t, policyFile(t, namePolicy)), newCaller(t, 1000)
	for _, step := range []struct {
		set  func()
		want string
	}{
		{func() {}, unknownNames},
		{func() { caller.SetNames() }, noNames},
		{func() { caller.SetNames("com.example.Guest") }, guest},
		{func() { caller.SetNames("com.example.Guest", "org.qemu.Virtiofs") }, bothNames},
		{func() { caller.SetNames("org.qemu.Virtiofs") }, virtiofs},
		{func() { caller.SetNames("org.qemu.virtiofs", "org.qemu.Virtiofs.x") }, noNames},
	} {
		if step.set(); verdicts(rules, caller) != step.want {
			t.Errorf("decided by %s, want %s", verdicts(rules, caller), step.want)
		}
	}
	// Where nobody looks, they need not be known.
	if got := newAuthorizer(t).Decide(newCaller(t, 0), action.Command("stop"), nil); !got.Allowed() {
		t.Errorf("root is denied by %s, %v", got.Policy(), got.Err())
	}
	// An argument of that name is none of them.
	args := newAuthorizer(t, policyFile(t, `permit (principal in User::"1000", action == Action::"device_add", resource) when { context.arguments.busNames == "x" };`))
	if got := args.Decide(newCaller(t, 1000), action.Command("device_add"), []byte(`{"busNames":"x"}`)); !got.Allowed() {
		t.Errorf("an argument busNames: denied by %s, %v", got.Policy(), got.Err())
	}
}

// nameBus is a fake bus with these owners of names at the start.
func nameBus(t *testing.T, owned map[string]string) (*fakeBus, *access.Callers) {
	t.Helper()
	bus, client := startFakeBus(t, good)
	bus.names = func(call *dbus.Message) *dbus.Message {
		if len(call.Body) > 0 {
			if owner := owned[call.Body[0].(string)]; owner != "" {
				return replyTo(call, owner)
			}
			return errorTo(call, "org.freedesktop.DBus.Error.NameHasNoOwner")
		}
		names := []string{"org.freedesktop.DBus", ":1.5", "com.example.Lost"}
		for name := range owned {
			names = append(names, name)
		}
		return replyTo(call, names)
	}
	callers, _ := runCallers(t, client, access.CallersConfig{})
	return bus, callers
}

// eventually waits until the caller is decided on as wanted.
func eventually(t *testing.T, rules *access.Authorizer, caller *access.Caller, want string) {
	t.Helper()
	rig.Eventually(t, "decided by "+want, func() bool { return verdicts(rules, caller) == want })
}

func TestNamesOnTheBus(t *testing.T) {
	const driver = "org.freedesktop.DBus"
	bus, callers := nameBus(t, map[string]string{"org.qemu.Virtiofs": ":1.5", "com.example.Guest": ":1.6"})
	rules := newAuthorizer(t, policyFile(t, namePolicy))
	five, err := lookup(t, callers, ":1.5")
	if err != nil {
		t.Fatal(err)
	}
	six, err := lookup(t, callers, ":1.6")
	if err != nil {
		t.Fatal(err)
	}
	if got := verdicts(rules, five); got != virtiofs {
		t.Fatalf("at first: %s, want %s", got, virtiofs)
	}
	if got := verdicts(rules, six); got != guest {
		t.Fatalf("at first: %s, want %s", got, guest)
	}
	// Not the bus's own words.
	bus.nameOwnerChanged(":1.6", "org.qemu.Virtiofs", ":1.5", ":1.6")
	bus.nameOwnerChanged(driver, "org.qemu.Virtiofs", ":1.5")
	bus.nameOwnerChanged(driver, "com.example.Guest", ":1.6", ":1.5")
	eventually(t, rules, five, bothNames)
	eventually(t, rules, six, noNames)
	bus.nameOwnerChanged(driver, "org.qemu.Virtiofs", ":1.5", "")
	eventually(t, rules, five, guest)
	bus.nameOwnerChanged(driver, "org.qemu.Virtiofs", "", ":1.6")
	eventually(t, rules, six, virtiofs)
	// Names that were owned before the first call.
	bus.nameOwnerChanged(driver, "com.example.Guest", ":1.5", ":1.7")
	eventually(t, rules, five, noNames)
	seven, err := lookup(t, callers, ":1.7")
	if err != nil {
		t.Fatal(err)
	}
	if got := verdicts(rules, seven); got != guest {
		t.Errorf("a new caller: %s, want %s", got, guest)
	}
}

// TestNamesOfDroppedCallers has a caller that was dropped, since too many are known, lose its name: it is told by Update,
// after who watches has heard of it.
func TestNamesOfDroppedCallers(t *testing.T) {
	const driver = "org.freedesktop.DBus"
	bus, client := startFakeBus(t, good)
	moved := make(chan string, 4)
	callers, _ := runCallers(t, client, access.CallersConfig{Limit: 1, OnNames: func(name string) { moved <- name }})
	rules := newAuthorizer(t, policyFile(t, namePolicy))
	if _, err := lookup(t, callers, ":1.9"); err != nil { // from then on the bus is watched
		t.Fatal(err)
	}
	bus.nameOwnerChanged(driver, "org.qemu.Virtiofs", "", ":1.5")
	if name := within(t, moved); name != ":1.5" {
		t.Fatalf("%s has got a name, want :1.5", name)
	}
	dropped, err := lookup(t, callers, ":1.5")
	if err != nil || verdicts(rules, dropped) != virtiofs {
		t.Fatalf("%v, decided by %s, want %s", err, verdicts(rules, dropped), virtiofs)
	}
	if _, err := lookup(t, callers, ":1.6"); err != nil {
		t.Fatal(err)
	}
	bus.nameOwnerChanged(driver, "org.qemu.Virtiofs", ":1.5", ":1.6")
	if lost, got := within(t, moved), within(t, moved); lost != ":1.5" || got != ":1.6" {
		t.Errorf("%s and %s have lost and got it, want :1.5, :1.6", lost, got)
	}
	callers.Update(dropped)
	if got := verdicts(rules, dropped); got != noNames {
		t.Errorf("decided by %s, want %s", got, noNames)
	}
}

// A bus that does not tell who owns what leaves it unknown.
func TestNamesNotTold(t *testing.T) {
	rules := newAuthorizer(t, policyFile(t, namePolicy))
	for name, answer := range map[string]func(*dbus.Message) *dbus.Message{
		"empty": func(call *dbus.Message) *dbus.Message { return replyTo(call) },
		"denied": func(call *dbus.Message) *dbus.Message {
			return errorTo(call, "org.freedesktop.DBus.Error.AccessDenied")
		},
		"silent": silent,
		"too many": func(call *dbus.Message) *dbus.Message {
			names := make([]string, 4097)
			for i := range names {
				names[i] = fmt.Sprintf("com.example.n%d", i)
			}
			return replyTo(call, names)
		},
		"no owner told": func(call *dbus.Message) *dbus.Message {
			if len(call.Body) > 0 {
				return errorTo(call, "org.freedesktop.DBus.Error.LimitsExceeded")
			}
			return replyTo(call, []string{"com.example.Guest"})
		},
	} {
		t.Run(name, func(t *testing.T) {
			bus, client := startFakeBus(t, good)
			bus.names = answer
			var log bytes.Buffer // written before the first lookup is answered
			callers, _ := runCallers(t, client, access.CallersConfig{Log: slog.New(slog.NewTextHandler(&log, nil))})
			caller, err := lookup(t, callers, ":1.5")
			if err != nil {
				t.Fatal(err)
			}
			if got := log.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, "policies that look at busNames deny") {
				t.Errorf("the log is %q, want one line about the names", got)
			}
			bus.nameOwnerChanged("org.freedesktop.DBus", "org.qemu.Virtiofs", "", ":1.5")
			bus.nameOwnerChanged("org.freedesktop.DBus", ":1.9", ":1.9", "")
			if got := verdicts(rules, caller); got != unknownNames {
				t.Errorf("decided by %s, want %s", got, unknownNames)
			}
		})
	}
}

// TestNamesAreBounded has a caller own as many names as it may, one more, and then none: they stay unknown.
func TestNamesAreBounded(t *testing.T) {
	const driver, most = "org.freedesktop.DBus", 64
	bus, callers := nameBus(t, map[string]string{"org.qemu.Virtiofs": ":1.5"})
	rules := newAuthorizer(t, policyFile(t, namePolicy))
	caller, err := lookup(t, callers, ":1.5")
	if err != nil {
		t.Fatal(err)
	}
	other, err := lookup(t, callers, ":1.6")
	if err != nil {
		t.Fatal(err)
	}
	for i := range most - 2 {
		bus.nameOwnerChanged(driver, fmt.Sprintf("com.example.n%d", i), "", ":1.5")
	}
	bus.nameOwnerChanged(driver, "com.example.Guest", "", ":1.5")
	eventually(t, rules, caller, bothNames)
	bus.nameOwnerChanged(driver, "com.example.last", "", ":1.5")
	eventually(t, rules, caller, unknownNames)
	for i := range most {
		bus.nameOwnerChanged(driver, fmt.Sprintf("com.example.n%d", i), ":1.5", "")
	}
	bus.nameOwnerChanged(driver, "com.example.Guest", "", ":1.6")
	eventually(t, rules, other, guest)
	if got := verdicts(rules, caller); got != unknownNames {
		t.Errorf("afterwards: %s, want %s", got, unknownNames)
	}
}

// TestOwnersAreBounded has as many owners of names as there is room for, and one more: whose names
// there was room for are known still, those of all others are not.
func TestOwnersAreBounded(t *testing.T) {
	const driver, most = "org.freedesktop.DBus", 1024
	bus, callers := nameBus(t, map[string]string{"org.qemu.Virtiofs": ":1.5"})
	rules := newAuthorizer(t, policyFile(t, namePolicy))
	var list []*access.Caller
	for _, name := range []string{":1.5", ":2.1022", ":2.1023", ":3.0"} {
		caller, err := lookup(t, callers, name)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, caller)
	}
	for i := range most - 1 {
		bus.nameOwnerChanged(driver, fmt.Sprintf("com.example.n%d", i), "", fmt.Sprintf(":2.%d", i))
	}
	bus.nameOwnerChanged(driver, "org.qemu.Virtiofs", ":1.5", ":2.1022")
	eventually(t, rules, list[0], noNames)
	eventually(t, rules, list[1], virtiofs)
	bus.nameOwnerChanged(driver, "org.qemu.Virtiofs", ":2.1022", ":1.5") // the last room
	eventually(t, rules, list[0], virtiofs)
	bus.nameOwnerChanged(driver, "com.example.x", "", ":2.1023")
	eventually(t, rules, list[2], unknownNames)
	bus.nameOwnerChanged(driver, "org.qemu.Virtiofs", ":1.5", ":2.1022")
	eventually(t, rules, list[1], virtiofs)
	eventually(t, rules, list[0], noNames) // it is known to have none
	if later, err := lookup(t, callers, ":4.0"); err != nil || verdicts(rules, later) != unknownNames {
		t.Errorf("who came later: %s, %v, want %s", verdicts(rules, later), err, unknownNames)
	}
}

// TestNamesOnBothBuses has names come, go, wait for their owner, and go with their owner.
func TestNamesOnBothBuses(t *testing.T) {
	for name, start := range map[string]func(testing.TB, string) *rig.Bus{
		"dbus-daemon": rig.StartDaemon, "dbus-broker": rig.StartBroker,
	} {
		t.Run(name, func(t *testing.T) {
			rig.RequireRoot(t)
			address := start(t, rig.Permissive).Address
			rules, err := access.New(access.Config{VM: "vm", BridgeUID: 4000, Files: []string{policyFile(t, strings.ReplaceAll(namePolicy, `principal in User::"1000"`, "principal"))}})
			if err != nil {
				t.Fatal(err)
			}
			early, late := rig.Alice.MustDial(t, address), rig.Alice.MustDial(t, address)
			own(t, early, "org.qemu.Virtiofs")
			callers, _ := runCallers(t, connect(t, address), access.CallersConfig{})
			first, err := lookup(t, callers, early.Names()[0])
			if err != nil {
				t.Fatal(err)
			}
			if got := verdicts(rules, first); got != virtiofs {
				t.Errorf("owned before: %s, want %s", got, virtiofs)
			}
			second, err := lookup(t, callers, late.Names()[0])
			if err != nil {
				t.Fatal(err)
			}
			if _, err := late.RequestName("org.qemu.Virtiofs", 0); err != nil { // it waits in the queue
				t.Fatal(err)
			}
			own(t, late, "com.example.Guest")
			eventually(t, rules, second, guest)
			early.Close()
			eventually(t, rules, second, bothNames)
			if _, err := late.ReleaseName("com.example.Guest"); err != nil {
				t.Fatal(err)
			}
			eventually(t, rules, second, virtiofs)
		})
	}
}

func own(t *testing.T, conn *dbus.Conn, name string) {
	t.Helper()
	if reply, err := conn.RequestName(name, dbus.NameFlagDoNotQueue); err != nil || reply != dbus.RequestNameReplyPrimaryOwner {
		t.Fatalf("RequestName %s: %v, %v", name, reply, err)
	}
}

// TestOwners has names within one, and others, owned at the start and later: each change is told of.
func TestOwners(t *testing.T) {
	const driver, within1 = "org.freedesktop.DBus", "org.qemu.Helper1"
	bus, client := startFakeBus(t, good)
	bus.names = func(call *dbus.Message) *dbus.Message {
		if len(call.Body) > 0 {
			return replyTo(call, ":1.5")
		}
		return replyTo(call, []string{"org.qemu.Helper1.b", "org.qemu.Helper1.a", "org.qemu.Helper12", "org.qemu"})
	}
	changes := make(chan struct{}, 10)
	callers, _ := runCallers(t, client, access.CallersConfig{OnChange: func() { changes <- struct{}{} }})
	want := map[string][]string{":1.5": {"org.qemu.Helper1.a", "org.qemu.Helper1.b"}}
	for _, step := range []struct {
		body []any // of NameOwnerChanged
		set  func()
	}{
		{nil, func() {}}, // what there was at the start
		{[]any{":1.7", "", ":1.7"}, func() {}},
		{[]any{"org.qemu.Helper1", "", ":1.7"}, func() { want[":1.7"] = []string{"org.qemu.Helper1"} }},
		{[]any{"org.qemu.Helper1.a", ":1.5", ""}, func() { want[":1.5"] = []string{"org.qemu.Helper1.b"} }},
		{[]any{":1.7", ":1.7", ""}, func() { delete(want, ":1.7") }},
	} {
		if step.set(); step.body != nil {
			bus.nameOwnerChanged(driver, step.body...)
		}
		within(t, changes)
		if diff := cmp.Diff(want, callers.Owners(within1)); diff != "" {
			t.Errorf("after %v (-want +got):\n%s", step.body, diff)
		}
	}
}
