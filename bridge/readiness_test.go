package bridge_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/godbus/dbus/v5"
	"github.com/google/go-cmp/cmp"

	"qmp-dbus-bridge/e2e/rig"
	"qmp-dbus-bridge/qmp/qmptest"
)

// hasVMState gives the machine an object dbus-vmstate on a bus, with an id-list.
func (m *machine) hasVMState(id, address, ids string) {
	m.answer(`qom-list {"path":"/objects"}`, fmt.Sprintf(`[{"name": "type", "type": "string"}, {"name": %q, "type": "child<dbus-vmstate>"}]`, id))
	m.answer(`qom-get {"path":"/objects/`+id+`","property":"addr"}`, fmt.Sprintf("%q", address))
	m.answer(`qom-get {"path":"/objects/`+id+`","property":"id-list"}`, fmt.Sprintf("%q", ids))
}

// starts begins a migration, which must be possible once all helpers have answered in time.
func (c *caller) starts(options map[string]dbus.Variant) {
	c.tb.Helper()
	rig.Eventually(c.tb, "it begins", func() bool {
		err := c.migration("Start", to("tcp:x"), options)
		if err != nil && errorName(err) != ourError+"HelpersNotReady" {
			c.tb.Fatal(err)
		}
		return err == nil
	})
}

// TestStartNeedsHelpers has migrations begin with helpers that QEMU's object would fail on, and others.
func TestStartNeedsHelpers(t *testing.T) {
	const notReady = ourError + "HelpersNotReady"
	for name, test := range map[string]struct {
		ids    string // the id-list
		helper []string
		want   string // what the error says; empty: none
	}{
		"nobody, and none is wanted":          {"", nil, ""},
		"all that are wanted":                 {"a,b", []string{"b", "a"}, ""},
		"more than are wanted":                {"a", []string{"b", "a"}, ""},
		"the first of two counts":             {"a", []string{"a", "a"}, ""},
		"one is missing":                      {"a,b", []string{"a"}, `no helper on the bus has the Id "b", which the id-list of QEMU's dbus-vmstate names, so the migration would fail at its end: start that helper`},
		"an empty one is wanted":              {"a,", []string{"a"}, `no helper on the bus has the Id "",`},
		"many are missing":                    {"1,2,3,4,5,6,7,8,9", nil, `the Id "1", "2", "3", "4", "5", "6", "7", "8" and others,`},
		"two claim one Id":                    {"", []string{"a", "a"}, `several helpers have the Id "a", at which QEMU would crash: end all but one, or give QEMU's dbus-vmstate an id-list`},
		"one tells no Id":                     {"", []string{"a", ""}, "queues for org.qemu.VMState1 and does not tell its Id, so QEMU may wait for it while the guest stands still, and leaves its state behind: end it, or see why it does not"},
		"one tells no Id, others are wanted":  {"a", []string{"a", ""}, "does not tell its Id"},
		"several tell no Id":                  {"", []string{"", ""}, " queue for org.qemu.VMState1 and do not tell their Ids, so QEMU may wait for them while the guest stands still, and leaves their state behind: end them, or see why they do not"},
		"one is missing, and one tells no Id": {"b", []string{""}, `no helper on the bus has the Id "b"`},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMigrating(t, schema7)
			w := serve(t, m)
			m.hasVMState("vmstate0", w.bus.Address+",guid=0123", test.ids)
			for _, id := range test.helper {
				w.helps(admin, id)
			}
			c := w.as(admin)
			if test.want == "" {
				c.starts(none)
				return
			}
			var err error
			rig.Eventually(t, "Start is refused with "+test.want, func() bool { // a helper may be late
				err = c.migration("Start", to("tcp:x"), none)
				return err != nil && strings.Contains(err.Error(), test.want)
			})
			fatal := strings.Contains(test.want, "crash")
			if errorName(err) != notReady || strings.HasSuffix(err.Error(), "; the option helpers=warn begins it all the same") == fatal {
				t.Errorf("Start = %v, want %s", err, notReady)
			}
			if err := c.migration("Start", to("tcp:x"), variants("helpers", "refuse")); errorName(err) != notReady {
				t.Errorf("Start with helpers=refuse = %v", err)
			}
			if got := m.commands(); got != nil {
				t.Errorf("QEMU was told %q", got)
			}
			want := []string{`migrate {"uri":"tcp:x"}`, `migrate {"uri":"tcp:x","resume":true}`}
			if fatal {
				want = want[1:]
				if err := c.migration("Start", to("tcp:x"), variants("helpers", "warn")); errorName(err) != notReady {
					t.Errorf("Start with helpers=warn = %v", err)
				}
			} else {
				c.starts(variants("helpers", "warn"))
			}
			if err := c.migration("Start", to("tcp:x"), variants("resume", true)); err != nil {
				t.Errorf("Start that resumes: %v", err)
			}
			if diff := cmp.Diff(want, m.commands()); diff != "" {
				t.Errorf("QEMU was told (-want +got):\n%s", diff)
			}
		})
	}
}

// TestStartOfHelpersElsewhere has an object that is on another bus, or that can't be read, or none at all.
func TestStartOfHelpersElsewhere(t *testing.T) {
	const notReady = ourError + "HelpersNotReady"
	for name, test := range map[string]struct {
		prepare func(*machine)
		err     string
		ours    string // where the bridge was to add one
	}{
		"none":           {func(*machine) {}, "", notReady},
		"on another bus": {func(m *machine) { m.hasVMState("v", "unix:path=/run/other", "x") }, "", notReady},
		"on no bus":      {func(m *machine) { m.hasVMState("v", "launchd:env=X", "x") }, "", notReady},
		"no objects": {func(m *machine) {
			m.script("qom-list", func(_ *qmptest.QEMU, r *qmptest.Request) { r.Fail("CommandNotFound", "no") })
		}, "", notReady},
		"no list": {func(m *machine) { m.answer(`qom-list {"path":"/objects"}`, `7`) }, notReady, notReady},
		"no address": {func(m *machine) {
			m.hasVMState("v", "", "")
			m.answer(`qom-get {"path":"/objects/v","property":"addr"}`, `{}`)
		}, notReady, notReady},
		"the connection ends": {func(m *machine) {
			m.script("qom-get", func(q *qmptest.QEMU, _ *qmptest.Request) { q.Hangup() })
			m.hasVMState("v", "", "")
		}, ourError + "Disconnected", ourError + "Disconnected"},
	} {
		t.Run(name, func(t *testing.T) {
			for _, adds := range []bool{false, true} {
				m := newMigrating(t, schema7)
				w := newWorld(t, m.dial)
				want := test.err
				if adds {
					want = test.ours
					w.state = vmstateAll
				}
				w.join()
				w.run()
				writer, reader := newPipe(t)
				test.prepare(m)
				err := w.startOver(none, writer)
				if errorName(err) != want && (err != nil || want != "") {
					t.Errorf("the bridge adds one %v: Start = %v, want %q", adds, err, want)
				}
				m.die()
				writer.Close()
				wantEnd(t, reader)
			}
		})
	}
}

// TestStartWaitsForHelpers has a helper that answers nothing: Start is answered when it is late, and others meanwhile.
func TestStartWaitsForHelpers(t *testing.T) {
	m := newMigrating(t, schema7)
	w := serve(t, m)
	m.hasVMState("v", w.bus.Address, "")
	r := w.rawHelper(admin)
	r.question()
	c := w.as(admin)
	started := c.Object(busName, at("migration")).Go(migrationIf+".Start", 0, nil, to("tcp:x"), none)
	if err := w.as(admin).migration("SetParameters", none); err != nil {
		t.Errorf("another's call: %v", err)
	}
	<-started.Done
	if want := "the helper " + r.Name + " (uid "; errorName(started.Err) != ourError+"HelpersNotReady" || !strings.Contains(started.Err.Error(), want) {
		t.Errorf("Start = %v, want %s", started.Err, want)
	}
}

// TestStartWithUnseenHelpers has one more helper of a user than are looked at: Start is refused, and begins all the same only where the
// Ids are named.
func TestStartWithUnseenHelpers(t *testing.T) {
	const (
		notReady  = ourError + "HelpersNotReady"
		maxOfUser = 16
	)
	for ids, want := range map[string]string{"": "QEMU would crash where two have one Id", "0": "of those that queue for org.qemu.VMState1 1 are not looked at"} {
		m := newMigrating(t, schema7)
		w := serve(t, m)
		m.hasVMState("v", w.bus.Address, ids)
		for n := range maxOfUser + 1 {
			w.helps(admin, strconv.Itoa(n))
		}
		c := w.as(admin)
		rig.Eventually(t, "Start is refused with "+want, func() bool { // a helper may be late
			err := c.migration("Start", to("tcp:x"), none)
			return errorName(err) == notReady && strings.Contains(err.Error(), want)
		})
		if ids != "" {
			c.starts(variants("helpers", "warn"))
		} else if err := c.migration("Start", to("tcp:x"), variants("helpers", "warn")); errorName(err) != notReady {
			t.Errorf("Start with helpers=warn: %v", err)
		}
	}
}

// TestStartOptionHelpers has words that are none.
func TestStartOptionHelpers(t *testing.T) {
	m := newMigrating(t, schema7)
	c := serve(t, m).as(admin)
	for value, want := range map[any]string{"never": "migrate.helpers: 'never' is not one of refuse, warn", true: "migrate.helpers: expected string, got bool"} {
		if err := c.migration("Start", to("tcp:x"), variants("helpers", value)); errorName(err) != dbusError+"InvalidArgs" || !strings.Contains(err.Error(), want) {
			t.Errorf("Start with helpers=%v: %v, want %s", value, err, want)
		}
	}
	if err := c.migration("Start", to("tcp:x"), variants("helper", "warn")); err == nil || !strings.Contains(err.Error(), "unknown member; there are ") || !strings.HasSuffix(err.Error(), ", helpers") {
		t.Errorf("Start with a misspelt option: %v", err)
	}
	if err := c.migration("Start", to("tcp:x"), variants("helpers", "warn")); err != nil {
		t.Error(err)
	}
	rig.Eventually(t, "QEMU has it", func() bool { return strings.Join(m.commands(), "") == `migrate {"uri":"tcp:x"}` })
}
