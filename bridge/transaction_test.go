package bridge_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/godbus/dbus/v5"
	"github.com/google/go-cmp/cmp"
)

// backupPolicy lets helpers group bitmaps of one node and backups of it.
const backupPolicy = `
@id("group") permit (principal in Role::"helper", action == Action::"transaction", resource);
@id("bitmaps") permit (principal in Role::"helper", action == Action::"block-dirty-bitmap-add", resource)
  when { context.arguments.node == "disk0" };
@id("copies") permit (principal in Role::"helper", action == Action::"blockdev-backup", resource)
  when { context.arguments.device == "disk0" };`

func serveBackups(t *testing.T) (*world, *machine) {
	m := newMachine(t, map[string]string{"query-qmp-schema": captured(t)["qmp-schema-10.0.2-x86_64.json"]})
	w := newWorld(t, m.dial)
	w.cedar = []string{backupPolicy}
	w.join()
	w.run()
	return w, m
}

// transact sends a transaction by each of the three ways.
func (c *caller) transact(actions ...transactionAction) map[string]error {
	var typed []dict
	for _, a := range actions {
		typed = append(typed, variants("type", a.Type, "data", toVariants(a.Data)))
	}
	text, err := json.Marshal(map[string]any{"actions": actions})
	if err != nil {
		c.tb.Fatal(err)
	}
	_, byCall := c.call(qmpPath, call, "transaction", variants("actions", typed))
	_, byJSON := c.call(qmpPath, callJSON, "transaction", string(text))
	_, byMethod := c.call(qmpPath, "org.qemu.VM1.QMP.Transaction", typed, none)
	return map[string]error{"Call": byCall, "CallJson": byJSON, "Transaction": byMethod}
}

type transactionAction struct {
	Type string            `json:"type"`
	Data map[string]string `json:"data"`
}

func toVariants(m map[string]string) dict {
	d := dict{}
	for name, value := range m {
		d[name] = dbus.MakeVariant(value)
	}
	return d
}

var (
	bitmap   = transactionAction{"block-dirty-bitmap-add", map[string]string{"node": "disk0", "name": "b"}}
	backup   = transactionAction{"blockdev-backup", map[string]string{"device": "disk0", "target": "t", "sync": "full"}}
	foreign  = transactionAction{"block-dirty-bitmap-add", map[string]string{"node": "disk1", "name": "b"}}
	snapshot = transactionAction{"blockdev-snapshot-sync", map[string]string{"device": "disk0", "snapshot-file": "/etc/x"}}
)

// TestTransactionDenies has one action of a transaction denied: nothing of it reaches QEMU.
func TestTransactionDenies(t *testing.T) {
	w, m := serveBackups(t)
	c := w.as(helper)
	for name, actions := range map[string][]transactionAction{
		"another command":       {bitmap, snapshot},
		"another command first": {snapshot, bitmap},
		"another node":          {bitmap, backup, foreign},
		"not a command":         {bitmap, {"abort", map[string]string{}}},
	} {
		for way, err := range c.transact(actions...) {
			if errorName(err) != dbusError+"AccessDenied" {
				t.Errorf("%s: %s = %v, want AccessDenied", name, way, err)
			}
		}
	}
	for _, err := range w.as(viewer).transact(bitmap) {
		if errorName(err) != dbusError+"AccessDenied" {
			t.Errorf("without the transaction itself: %v, want AccessDenied", err)
		}
	}
	if got := m.commands(); got != nil {
		t.Errorf("QEMU was told %q, want nothing", got)
	}
}

// TestTransactionOfUnknown has transactions that don't tell what they are: they are refused even to an
// administrator.
func TestTransactionOfUnknown(t *testing.T) {
	w, m := serveBackups(t)
	for _, text := range []string{
		``, `{}`, `{"Actions":[]}`, `{"actions":null}`, `{"actions":{}}`, `{"actions":"stop"}`, `{"actions":[null]}`, `{"actions":["stop"]}`,
		`{"actions":[[]]}`, `{"actions":[{}]}`, `{"actions":[{"type":"abort"}]}`, `{"actions":[{"data":{}}]}`,
		`{"actions":[{"type":null,"data":{}}]}`, `{"actions":[{"type":1,"data":{}}]}`, `{"actions":[{"type":["abort"],"data":{}}]}`,
		`{"actions":[{"type":"abort","data":null}]}`, `{"actions":[{"type":"abort","data":[]}]}`, `{"actions":[{"type":"abort","data":"{}"}]}`,
		`{"actions":[{"Type":"abort","data":{}}]}`, `{"actions":[{"type":"abort","Data":{}}]}`,
		`{"actions":[{"type":"abort","data":{},"x":{}}]}`, `{"actions":[{"type":"abort","data":{},"Type":"quit"}]}`,
		`{"actions":[{"type":"abort","data":{}},{}]}`, `{"actions":[{"type":"abort","data":{},"type":"quit"}]}`,
		`{"actions":[{"type":"transaction","data":{"actions":[]}}]}`,
		`{"actions":[{"type":"transaction","data":{"actions":[{"type":"quit","data":{}}]}}]}`,
	} {
		if _, err := w.as(admin).call(qmpPath, callJSON, "transaction", text); errorName(err) != dbusError+"InvalidArgs" {
			t.Errorf("%s = %v, want InvalidArgs", text, err)
		}
	}
	for _, arguments := range []dict{
		{}, variants("actions", none), variants("actions", []dict{{}}), variants("actions", []dict{variants("type", "abort")}),
	} {
		if _, err := w.as(admin).call(qmpPath, call, "transaction", arguments); errorName(err) != dbusError+"InvalidArgs" {
			t.Errorf("%v = %v, want InvalidArgs", arguments, err)
		}
	}
	if got := m.commands(); got != nil {
		t.Errorf("QEMU was told %q, want nothing", got)
	}
}

// TestTransaction is sent as it was decided, and the audit has a record of each decision.
func TestTransaction(t *testing.T) {
	w, m := serveBackups(t)
	c := w.as(helper)
	for way, err := range c.transact(bitmap, backup) {
		if err != nil {
			t.Errorf("%s = %v, want success", way, err)
		}
	}
	const want = `{"actions":[{"type":"block-dirty-bitmap-add","data":{"node":"disk0","name":"b"}},` +
		`{"type":"blockdev-backup","data":{"device":"disk0","target":"t","sync":"full"}}]}`
	told := m.commands()
	for _, command := range told {
		if !sameJSON(t, strings.TrimPrefix(command, "transaction "), want) {
			t.Errorf("QEMU was told %s", command)
		}
	}
	if len(told) != 3 {
		t.Errorf("QEMU was told %d commands, want 3", len(told))
	}
	c.transact(bitmap, snapshot, backup)
	var expected []record
	for range 3 {
		expected = append(expected,
			record{Action: "transaction", Decision: "allow", Policy: "group", Result: "ok"},
			record{Action: "block-dirty-bitmap-add", Decision: "allow", Policy: "bitmaps", Result: "ok"},
			record{Action: "blockdev-backup", Decision: "allow", Policy: "copies", Result: "ok"})
	}
	for range 3 {
		const denied = dbusError + "AccessDenied"
		expected = append(expected,
			record{Action: "transaction", Decision: "allow", Policy: "group", Result: denied},
			record{Action: "block-dirty-bitmap-add", Decision: "allow", Policy: "bitmaps", Result: denied},
			record{Action: "blockdev-snapshot-sync", Decision: "deny", Policy: "default-deny", Result: denied})
	}
	var got []record
	for _, r := range w.records(len(expected)) {
		got = append(got, record{Action: r.Action, Decision: r.Decision, Policy: r.Policy, Result: r.Result})
	}
	byAll := func(a, b record) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) }
	slices.SortFunc(got, byAll) // those of one call have the same time
	slices.SortFunc(expected, byAll)
	if diff := cmp.Diff(expected, got); diff != "" {
		t.Errorf("the audit (-want +got):\n%s", diff)
	}
}

// TestMaxActions has a transaction of the most actions and one more.
func TestMaxActions(t *testing.T) {
	const maxActions = 128
	w, m := serveBackups(t)
	for over, want := range []string{"", dbusError + "LimitsExceeded"} {
		for way, err := range w.as(admin).transact(slices.Repeat([]transactionAction{bitmap}, maxActions+over)...) {
			if errorName(err) != want {
				t.Errorf("%d over the limit: %s = %v, want %q", over, way, err, want)
			}
		}
	}
	if got := len(m.commands()); got != 3 {
		t.Errorf("QEMU was told %d commands, want 3", got)
	}
}

// TestTransactionIsTheOnlyWrapper looks in all captured schemas for members that choose among
// commands: a union of which most branches are called like one.
func TestTransactionIsTheOnlyWrapper(t *testing.T) {
	for name, schema := range captured(t) {
		if got := wrappers(t, schema); !slices.Equal(got, []string{"transaction"}) {
			t.Errorf("%s: %q wrap commands, want transaction alone", name, got)
		}
	}
}

// schemaEntry is what query-qmp-schema has, as far as it matters here.
type schemaEntry struct {
	Name     string
	Meta     string `json:"meta-type"`
	Arg      string `json:"arg-type"`
	Element  string `json:"element-type"`
	Members  []struct{ Name, Type string }
	Variants []struct{ Case, Type string }
}

// wrappers are the commands among whose arguments, at any depth, is such a union.
func wrappers(t *testing.T, text string) []string {
	t.Helper()
	var entries []schemaEntry
	if err := json.Unmarshal([]byte(text), &entries); err != nil {
		t.Fatal(err)
	}
	types, commands := map[string]schemaEntry{}, map[string]bool{}
	for _, e := range entries {
		if e.Meta == "command" {
			commands[e.Name] = true
		} else {
			types[e.Name] = e
		}
	}
	var found []string
	for _, e := range entries {
		seen := map[string]bool{}
		var wraps func(name string) bool
		wraps = func(name string) bool {
			if seen[name] {
				return false
			}
			seen[name] = true
			of := types[name]
			named := 0
			below := []string{of.Element}
			for _, m := range of.Members {
				below = append(below, m.Type)
			}
			for _, v := range of.Variants {
				below = append(below, v.Type)
				if commands[v.Case] {
					named++
				}
			}
			return 2*named > len(of.Variants) || slices.ContainsFunc(below, wraps)
		}
		if e.Meta == "command" && wraps(e.Arg) {
			found = append(found, e.Name)
		}
	}
	return found
}
