package access_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"qmp-dbus-bridge/bridge/action"
)

// BenchmarkDecide is to stay below 5 us a decision; but for the last, the worst that 100 policies can be: all of
// them are about this caller and any action, and have conditions to evaluate.
func BenchmarkDecide(b *testing.B) {
	const asked = "query-status"
	others := slices.DeleteFunc(slices.Sorted(maps.Keys(table(b, "risk.tsv"))), func(name string) bool { return name == asked })
	for name, policy := range map[string]string{
		"builtin":            "",
		"100 actions":        `permit (principal, action == Action::"%[2]s", resource);`,
		"100 groups":         `permit (principal in Group::"%[1]d", action == Action::"query-status", resource);`,
		"100 own conditions": `permit (principal in User::"1001", action, resource) when { principal.uid == %[1]d };`,
	} {
		b.Run(name, func(b *testing.B) {
			var text strings.Builder
			for i := range 100 {
				if policy != "" {
					fmt.Fprintf(&text, policy+"\n", 3000+i, others[i])
				}
			}
			rules := newAuthorizer(b, policyFile(b, text.String()))
			groups := []uint32{}
			for i := range uint32(30) {
				groups = append(groups, 5000+i)
			}
			caller := newCaller(b, 1001, groups...)
			b.ReportAllocs()
			for b.Loop() {
				if !rules.Decide(caller, action.Command(asked), nil).Allowed() {
					b.Fatal("denied")
				}
			}
		})
	}
}

// deviceAdd is what libvirt says to add a network interface.
const deviceAdd = `{"driver":"virtio-net-pci","rx_queue_size":512,"netdev":"hostnet0","id":"net0","mac":"52:54:00:6a:3c:9d","bus":"pci.2","addr":"0x0"}`

// BenchmarkDecideArguments is to stay below 5 us a decision: 100 policies that are about this caller and this action look
// at the arguments, and one of them permits it.
func BenchmarkDecideArguments(b *testing.B) {
	const names = `["driver", "rx_queue_size", "netdev", "id", "mac", "bus", "addr"].containsAll(context.argumentNames)`
	for name, condition := range map[string]string{
		"one member":         `context.arguments.id == "net%d"`,
		"several members":    `context.arguments.driver == "virtio-net-pci" && context.arguments.bus like "pci.*" && context.arguments.id == "net%d"`,
		"names":              `context.arguments.id == "net%d" && ` + names,
		"names first":        names + ` && context.arguments.id == "net%d"`,
		"only if it's there": `context.arguments has id && context.arguments.id == "net%d"`,
	} {
		b.Run(name, func(b *testing.B) {
			var text strings.Builder
			for i := range 100 {
				fmt.Fprintf(&text, `permit (principal in User::"1000", action == Action::"device_add", resource) when { `+condition+" };\n", i)
			}
			rules, caller := newAuthorizer(b, policyFile(b, text.String())), newCaller(b, 1000, 1000, 4, 24)
			add, arguments := action.Command("device_add"), []byte(deviceAdd)
			b.ReportAllocs()
			for b.Loop() {
				if got := rules.Decide(caller, add, arguments); !got.Allowed() {
					b.Fatal(got.Policy(), got.Err())
				}
			}
		})
	}
}

// BenchmarkFirstDecision includes what is kept with the caller afterwards.
func BenchmarkFirstDecision(b *testing.B) {
	rules := newAuthorizer(b)
	for b.Loop() {
		rules.Decide(newCaller(b, 1001, 1001, 4, 24, 27), action.Command("query-status"), nil)
	}
}
