package inventory_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/godbus/dbus/v5"
	"github.com/google/go-cmp/cmp"

	"qmp-dbus-bridge/bridge/inventory"
	"qmp-dbus-bridge/schema"
	"qmp-dbus-bridge/schema/schematest"
	"qmp-dbus-bridge/schema/wire"
)

var update = flag.Bool("update", false, "write the expected objects anew")

// query finds the one of a command.
func query(t testing.TB, command string) *inventory.Query {
	t.Helper()
	for i := range inventory.Queries {
		if inventory.Queries[i].Command == command {
			return &inventory.Queries[i]
		}
	}
	t.Fatalf("%s is not in the table", command)
	return nil
}

// describe writes values as a client reads them, by the names of the properties.
func describe(t *testing.T, properties []schema.Property, values []inventory.Value) string {
	t.Helper()
	if len(properties) != len(values) {
		t.Fatalf("%d values of %d properties", len(values), len(properties))
	}
	var text strings.Builder
	for i, p := range properties {
		fmt.Fprintf(&text, " %s=%v", p.Name, decode(t, values[i], p.Type))
	}
	return text.String()
}

// decode sends a value as a message that another implementation reads.
func decode(t *testing.T, v inventory.Value, signature string) dbus.Variant {
	t.Helper()
	var e wire.Encoder
	e.Begin(&wire.Header{Type: wire.Signal, Serial: 1, Path: "/", Interface: "a.b", Member: "C", Signature: "v"})
	e.OpenVariant(signature)
	v.Encode(&e, signature)
	e.CloseVariant()
	text, err := e.Finish()
	if err != nil {
		t.Fatal(err)
	}
	m, err := dbus.DecodeMessage(strings.NewReader(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	return m.Body[0].(dbus.Variant)
}

// TestRecorded reads what QEMUs have answered: the replies in testdata are those of two with the same devices.
func TestRecorded(t *testing.T) {
	for _, version := range []string{"7.2", "10"} {
		var got strings.Builder
		for i := range inventory.Queries {
			q := &inventory.Queries[i]
			reply, err := os.ReadFile(filepath.Join("testdata", version, q.Command+".json"))
			if err != nil {
				t.Fatal(err)
			}
			r, err := q.Read(reply)
			if err != nil || r.Left != 0 {
				t.Errorf("%s: %v, %d left out", q.Command, err, r.Left)
			}
			r = recordedDetails(t, version).complete(t, q.Known(), r)
			fmt.Fprintf(&got, "%s%s\n", q.Command, describe(t, q.Facts, r.Facts))
			for _, item := range r.Items {
				fmt.Fprintf(&got, "  %s/%s%s\n", q.Kind.Name, item.Element, describe(t, q.Kind.Properties, item.Values))
			}
		}
		file := filepath.Join("testdata", version+".txt")
		if *update {
			if err := os.WriteFile(file, []byte(got.String()), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), got.String()); diff != "" {
			t.Errorf("QEMU %s (-want +got):\n%s", version, diff)
		}
	}
}

// TestTable has what the table says be a D-Bus interface and a QMP command.
func TestTable(t *testing.T) {
	for i := range inventory.Queries {
		q := &inventory.Queries[i]
		if q.Arguments != nil && !json.Valid(q.Arguments) {
			t.Errorf("%s: arguments %s", q.Command, q.Arguments)
		}
		if q.Kind == nil {
			continue
		}
		if err := schematest.Check(schema.Interface{Name: q.Kind.Interface, Properties: q.Kind.Properties}); err != nil {
			t.Error(err)
		}
		if !wire.ValidPath("/" + q.Kind.Name) {
			t.Errorf("%s can't be in a path", q.Kind.Name)
		}
	}
}

// TestTouched looks up what becomes stale.
func TestTouched(t *testing.T) {
	for _, test := range []struct {
		what string
		got  inventory.Set
		want []string
	}{
		{"the event STOP", inventory.TouchedByEvent("STOP"), []string{"query-status", "query-migrate"}},
		{"the event VSERPORT_CHANGE", inventory.TouchedByEvent("VSERPORT_CHANGE"), []string{"query-chardev"}},
		{"the event JOB_STATUS_CHANGE", inventory.TouchedByEvent("JOB_STATUS_CHANGE"), []string{"query-jobs"}},
		{"the event RTC_CHANGE", inventory.TouchedByEvent("RTC_CHANGE"), nil},
		{"the event device_add", inventory.TouchedByEvent("device_add"), nil},
		{"the command chardev-add", inventory.TouchedByCommand("chardev-add"), []string{"query-chardev"}},
		{"the command migrate", inventory.TouchedByCommand("migrate"), []string{"query-migrate"}},
		{"migrate, refused", inventory.TouchedByRefusal("migrate"), []string{"query-migrate"}},
		{"chardev-add, refused", inventory.TouchedByRefusal("chardev-add"), nil},
		{"the command query-block", inventory.TouchedByCommand("query-block"), nil},
		{"the command stop, of which an event tells", inventory.TouchedByCommand("stop"), nil},
		{"device_add", inventory.TouchedByCommand("device_add"), []string{
			"query-memory-size-summary", "query-balloon", "query-cpus-fast", "query-memory-devices", "qom-list",
			"human-monitor-command", "query-block", "query-chardev",
		}},
	} {
		var got []string
		for i := range inventory.Queries {
			if test.got.Has(i) {
				got = append(got, inventory.Queries[i].Command)
			}
		}
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("after %s (-want +got):\n%s", test.what, diff)
		}
	}
	if inventory.TouchedByCommand("human-monitor-command") != inventory.All {
		t.Error("human-monitor-command may change all")
	}
}

// TestMoving has jobs of each status: which of them get on without an event.
func TestMoving(t *testing.T) {
	for status, want := range map[string]bool{
		"created": false, "running": true, "paused": false, "ready": true, "standby": false, "waiting": false,
		"pending": false, "aborting": false, "concluded": false, "undefined": false, "null": false, "new": false,
	} {
		r, err := query(t, "query-jobs").Read([]byte(`[{"id": "a", "status": "paused"}, {"id": "b", "status": "` + status + `"}]`))
		if err != nil || r.Moving != want {
			t.Errorf("a job that is %s: moving = %v, %v; want %v", status, r.Moving, err, want)
		}
	}
}

// TestFinishing has a status that ends without an event, and others.
func TestFinishing(t *testing.T) {
	for status, want := range map[string]bool{
		"finish-migrate": true, "postmigrate": false, "inmigrate": false, "running": false, "paused": false, "": false,
	} {
		r, err := query(t, "query-status").Read([]byte(`{"status": "` + status + `", "running": false}`))
		if err != nil || r.Moving != want {
			t.Errorf("status %q: moving = %v, %v; want %v", status, r.Moving, err, want)
		}
	}
}

// TestProgress has jobs that are further than they could be.
func TestProgress(t *testing.T) {
	for text, want := range map[string]string{
		`"current-progress": 0, "total-progress": 0`:                   " 0 0 0",
		`"status": "concluded"`:                                        " 0 0 1",
		`"status": "concluded", "error": "no space"`:                   " 0 0 0",
		`"current-progress": 1, "total-progress": 4`:                   " 1 4 0.25",
		`"current-progress": 5, "total-progress": 4`:                   " 5 4 1",
		`"current-progress": -1, "total-progress": 4`:                  " 0 4 0",
		`"current-progress": 1, "total-progress": -4`:                  " 1 0 0",
		`"current-progress": 9223372036854775807, "total-progress": 1`: " 9223372036854775807 1 1",
	} {
		q := query(t, "query-jobs")
		r, err := q.Read([]byte(`[{"id": "a", ` + text + `}]`))
		if err != nil {
			t.Fatal(err)
		}
		var got strings.Builder
		for i, p := range q.Kind.Properties {
			if p.Name == "Current" || p.Name == "Total" || p.Name == "Progress" {
				got.WriteString(fmt.Sprint(" ", decode(t, r.Items[0].Values[i], p.Type).Value()))
			}
		}
		if got.String() != want {
			t.Errorf("%s: %s, want %s", text, got.String(), want)
		}
	}
}
