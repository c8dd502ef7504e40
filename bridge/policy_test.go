package bridge_test

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"
	"github.com/google/go-cmp/cmp"

	"qmp-dbus-bridge/bridge/access"
	"qmp-dbus-bridge/e2e/rig"
)

// policy is one with the roles of the tests and these policies, each in a file of its own.
func (w *world) policy(texts ...string) *access.Authorizer {
	w.tb.Helper()
	config := access.Config{VM: "vm7", BridgeUID: admin.UID}
	for _, text := range texts {
		path := filepath.Join(w.tb.TempDir(), "policy.cedar")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			w.tb.Fatal(err)
		}
		config.Files = append(config.Files, path)
	}
	for _, text := range grants {
		grant, err := access.ParseGrant(text)
		if err != nil {
			w.tb.Fatal(err)
		}
		config.Grants = append(config.Grants, grant)
	}
	policy, err := access.New(config)
	if err != nil {
		w.tb.Fatal(err)
	}
	return policy
}

const (
	viewerHears = `permit (principal in Role::"viewer", action in [Action::"event:VNC_CONNECTED", Action::"event:BLOCK_IO_ERROR"], resource);`
	viewerStops = `permit (principal in Role::"viewer", action == Action::"stop", resource);`
)

// TestSetPolicy takes rights away and gives others: what was subscribed to is decided again, the
// property tells of it, and the harmless events go on to all.
func TestSetPolicy(t *testing.T) {
	m := newMachine(t, nil)
	w := serve(t, m)
	before := w.policy(viewerHears)
	w.bridge.SetPolicy(before)
	v, a := w.as(viewer), w.as(admin)
	if err := v.vm("Subscribe", []string{"VNC_CONNECTED", "BLOCK_IO_ERROR"}); err != nil {
		t.Fatal(err)
	}
	if err := a.vm("Subscribe", []string{"VNC_CONNECTED"}); err != nil {
		t.Fatal(err)
	}
	hear, changes := v.watch(dbus.WithMatchInterface(eventsIf)), w.as(viewer).changes()
	hearAdmin := a.watch(dbus.WithMatchInterface(eventsIf))
	if _, err := v.execute("stop"); errorName(err) != dbusError+"AccessDenied" {
		t.Errorf("stop before = %v, want AccessDenied", err)
	}

	after := w.policy(viewerStops + `permit (principal in Role::"viewer", action == Action::"event:BLOCK_IO_ERROR", resource);`)
	w.bridge.SetPolicy(after)
	if diff := cmp.Diff(map[string]any{"PolicyHash": after.Hash()}, changed(t, changes)); diff != "" {
		t.Errorf("PropertiesChanged (-want +got):\n%s", diff)
	}
	if hash := get[string](v, "PolicyHash"); hash != after.Hash() || hash == before.Hash() {
		t.Errorf("PolicyHash = %s, want %s, not %s", hash, after.Hash(), before.Hash())
	}
	if err := v.vm("Subscribe", []string{"VNC_CONNECTED"}); errorName(err) != dbusError+"AccessDenied" {
		t.Errorf("Subscribe after = %v, want AccessDenied", err)
	}
	for _, event := range []string{"VNC_CONNECTED", "BLOCK_IO_ERROR", "STOP"} {
		m.client().Event(event, "")
	}
	for _, want := range []string{"BlockIoError", "Stop"} {
		if s := next(t, hear); s.Name != eventsIf+"."+want {
			t.Errorf("the viewer received %s, want %s", s.Name, want)
		}
	}
	if s := next(t, hearAdmin); s.Name != eventsIf+".VncConnected" {
		t.Errorf("the administrator received %s, want VncConnected", s.Name)
	}
	if _, err := v.execute("stop"); err != nil {
		t.Errorf("stop after = %v", err)
	}
	ended := 0
	for _, r := range w.records(9) {
		if r.Caller == v.unique && r.Action == "event:VNC_CONNECTED" && r.Decision == "deny" && r.Result == dbusError+"AccessDenied" {
			ended++
		}
	}
	if ended != 2 {
		t.Errorf("the audit has %d denials of VNC_CONNECTED, want the end of the subscription and the second Subscribe", ended)
	}
}

// TestSetPolicyDuringACall has a command that is being executed come to its end, and the next denied.
func TestSetPolicyDuringACall(t *testing.T) {
	m := newMachine(t, nil)
	w := serve(t, m)
	w.bridge.SetPolicy(w.policy("@id(\"old\")" + viewerStops))
	v := w.as(viewer)
	m.hold("stop", true)
	done := v.Object(busName, qmpPath).Go(call, 0, make(chan *dbus.Call, 1), "stop", none).Done
	held := m.nextHeld()
	w.bridge.SetPolicy(w.policy())
	held.Return("{}")
	if reply := <-done; reply.Err != nil {
		t.Errorf("the call under way = %v", reply.Err)
	}
	if _, err := v.execute("stop"); errorName(err) != dbusError+"AccessDenied" {
		t.Errorf("the next = %v, want AccessDenied", err)
	}
	var policies []string
	for _, r := range w.records(2) {
		if r.Action == "stop" {
			policies = append(policies, r.Policy)
		}
	}
	if want := []string{"old", "default-deny"}; !slices.Equal(policies, want) {
		t.Errorf("decided by %v, want %v", policies, want)
	}
}

// sensitive are events that a policy has to give.
var sensitive = []string{
	"BLOCK_IMAGE_CORRUPTED", "BLOCK_IO_ERROR", "BLOCK_JOB_COMPLETED", "DUMP_COMPLETED", "GUEST_PANICKED", "MEMORY_FAILURE",
	"NETDEV_STREAM_CONNECTED", "SPICE_CONNECTED", "SPICE_DISCONNECTED", "SPICE_INITIALIZED", "VNC_CONNECTED", "VNC_DISCONNECTED",
}

// hears is a policy that lets the viewer have events.
func hears(events []string) string {
	return `permit (principal in Role::"viewer", action in [Action::"event:` + strings.Join(events, `", Action::"event:`) + `"], resource);`
}

// TestOnePolicyPerCall swaps two policies, neither of which allows all that is asked, while it is asked: a call
// that was decided by both would succeed.
func TestOnePolicyPerCall(t *testing.T) {
	w := serve(t, newMachine(t, map[string]string{"query-qmp-schema": schemaOf(t, nil, sensitive)}))
	policies := []*access.Authorizer{w.policy(hears(sensitive[:6])), w.policy(hears(sensitive[6:]))}
	c := w.as(viewer)
	swap := make(chan bool)
	var swapping sync.WaitGroup
	swapping.Go(func() {
		for range swap {
			for n := range 10 {
				w.bridge.SetPolicy(policies[n%2])
			}
		}
	})
	for range 200 {
		swap <- true
		if err := c.vm("Subscribe", sensitive); errorName(err) != dbusError+"AccessDenied" {
			t.Errorf("Subscribe = %v, want AccessDenied", err)
		}
	}
	close(swap)
	swapping.Wait()
}

// TestSubscribeDuringSetPolicy subscribes while the policy that allows it goes: nothing stays subscribed to.
func TestSubscribeDuringSetPolicy(t *testing.T) {
	m := newMachine(t, map[string]string{"query-qmp-schema": schemaOf(t, nil, append([]string{"STOP"}, sensitive...))})
	w := serve(t, m)
	allows, denies := w.policy(hears(sensitive)), w.policy()
	c := w.as(viewer)
	hear := c.watch(dbus.WithMatchInterface(eventsIf))
	for range 200 {
		w.bridge.SetPolicy(allows)
		var swapping sync.WaitGroup
		swapping.Go(func() {
			time.Sleep(time.Duration(rand.IntN(500)) * time.Microsecond) // about when the call arrives
			w.bridge.SetPolicy(denies)
		})
		if err := c.vm("Subscribe", sensitive); err != nil && errorName(err) != dbusError+"AccessDenied" {
			t.Errorf("Subscribe = %v", err)
		}
		swapping.Wait()
		m.client().Event("VNC_CONNECTED", "")
		m.client().Event("STOP", "")
		if s := next(t, hear); s.Name != eventsIf+".Stop" {
			t.Fatalf("the viewer received %s, want Stop", s.Name)
		}
	}
}

// TestPolicyHashOutlivesQEMU has the hash shown while there is no QEMU any more.
func TestPolicyHashOutlivesQEMU(t *testing.T) {
	m := newMachine(t, nil)
	w := serve(t, m)
	policy := w.policy(viewerStops)
	w.bridge.SetPolicy(policy)
	c := w.as(viewer)
	m.die()
	rig.Eventually(t, "the bridge sees that QEMU has gone", func() bool { return !get[bool](c, "Connected") })
	if hash := get[string](c, "PolicyHash"); hash != policy.Hash() {
		t.Errorf("PolicyHash = %s, want %s", hash, policy.Hash())
	}
}
