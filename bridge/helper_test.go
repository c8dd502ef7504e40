package bridge_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/godbus/dbus/v5"
	"github.com/google/go-cmp/cmp"

	"qmp-dbus-bridge/bridge/inventory"
	"qmp-dbus-bridge/e2e/rig"
)

const (
	helperIf    = busName + ".Helper"
	vmstateName = "org.qemu.VMState1"
	vmstatePath = dbus.ObjectPath("/org/qemu/VMState1")
	helperName  = "org.qemu.Helper1"
)

// vmstateID answers for the only property of a migratable helper.
type vmstateID string

// Get returns it.
func (id vmstateID) Get(_, _ string) (dbus.Variant, *dbus.Error) {
	return dbus.MakeVariant(string(id)), nil
}

// helps has a user queue with an Id, and own names of helpers.
func (w *world) helps(u rig.User, id string, names ...string) *dbus.Conn {
	w.tb.Helper()
	conn := u.MustDial(w.tb, w.bus.Address)
	if err := conn.Export(vmstateID(id), vmstatePath, propsIf); err != nil {
		w.tb.Fatal(err)
	}
	for _, name := range names {
		owns(w.tb, conn, name)
	}
	queue(w.tb, conn)
	return conn
}

func owns(tb testing.TB, conn *dbus.Conn, name string) {
	tb.Helper()
	if reply, err := conn.RequestName(name, dbus.NameFlagDoNotQueue); err != nil || reply != dbus.RequestNameReplyPrimaryOwner {
		tb.Fatalf("RequestName(%s) = %v, %v", name, reply, err)
	}
}

// queue has a connection own or queue for the name of those whose state migrates.
func queue(tb testing.TB, conn *dbus.Conn) {
	tb.Helper()
	if _, err := conn.RequestName(vmstateName, 0); err != nil {
		tb.Fatal(err)
	}
}

// withHelper has one that is shown.
func (w *world) withHelper() {
	w.tb.Helper()
	c := w.as(admin)
	w.helps(admin, "helps")
	rig.Eventually(w.tb, "the helper is shown", func() bool { return c.objects()["helper/helps"] != nil })
}

// reaches waits until all these signals have come, in that order. Others may come between: a helper that takes long to answer is shown
// without an Id meanwhile.
func reaches(tb testing.TB, signals <-chan *dbus.Signal, want ...string) {
	tb.Helper()
	for _, line := range want {
		for follow(tb, signals) != line {
		}
	}
}

// shownHelper is how one is told of.
func shownHelper(element, id, name string, uid uint32) string {
	return fmt.Sprintf("helper/%s map[BusName:%s Id:%s Migratable:%v UID:%d]", element, name, id, id != "", uid)
}

// TestHelpers has helpers of two users queue, behind each other, and leave: who may read sees them come and go, with a QEMU or
// without.
func TestHelpers(t *testing.T) {
	rig.RequireRoot(t)
	m := newMachine(t, nil)
	w := serve(t, m)
	c := w.as(viewer)
	signals := w.as(viewer).everything()
	first := w.helps(helper, "tpm-0")
	reaches(t, signals, "+ "+shownHelper("tpm_2d0", "tpm-0", first.Names()[0], helper.UID))
	owns(t, first, helperName+".tpm")
	reaches(t, signals, "! helper/tpm_2d0 map[BusName:"+helperName+".tpm]")
	second := w.helps(stranger, "7fs")
	reaches(t, signals, "+ "+shownHelper("_37fs", "7fs", second.Names()[0], stranger.UID))
	want := map[string]map[string]any{
		"helper/tpm_2d0": {"Id": "tpm-0", "BusName": helperName + ".tpm", "UID": helper.UID, "Migratable": true},
		"helper/_37fs":   {"Id": "7fs", "BusName": second.Names()[0], "UID": stranger.UID, "Migratable": true},
	}
	if diff := cmp.Diff(want, c.objects()); diff != "" {
		t.Errorf("managed (-want +got):\n%s", diff)
	}
	for path, properties := range want {
		for name, value := range properties {
			if v, err := c.call(at(path), propsIf+".Get", helperIf, name); err != nil || v.(dbus.Variant).Value() != value {
				t.Errorf("Get %s of %s = %v, %v, want %v", name, path, v, err, value)
			}
		}
	}
	m.die()
	if diff := cmp.Diff(want, c.objects()); diff != "" {
		t.Errorf("without QEMU (-want +got):\n%s", diff)
	}
	if _, err := first.ReleaseName(vmstateName); err != nil { // the second owns the name now
		t.Fatal(err)
	}
	reaches(t, signals, "- helper/tpm_2d0", "+ "+shownHelper("org_2eqemu_2eHelper1_2etpm", "", helperName+".tpm", helper.UID))
	if _, err := first.ReleaseName(helperName + ".tpm"); err != nil {
		t.Fatal(err)
	}
	reaches(t, signals, "- helper/org_2eqemu_2eHelper1_2etpm")
	second.Close()
	reaches(t, signals, "- helper/_37fs")
}

// TestHelpersAtTheStart has helpers that are there before the bridge is.
func TestHelpersAtTheStart(t *testing.T) {
	w := newWorld(t, newMachine(t, nil).dial)
	w.helps(admin, "a")
	w.helps(admin, "b", helperName)
	w.join()
	w.run()
	c := w.as(admin)
	rig.Eventually(t, "both are shown", func() bool { return len(c.objects()) == 2 })
}

// TestHelpersOfOneID has two claim one Id, and the first leave: both are shown, and the second takes its place.
func TestHelpersOfOneID(t *testing.T) {
	w := serve(t, newMachine(t, nil))
	signals := w.as(admin).everything()
	first := w.helps(admin, "same")
	unique := first.Names()[0]
	reaches(t, signals, "+ "+shownHelper("same", "same", unique, admin.UID))
	other := w.helps(admin, "same").Names()[0]
	beside := "same_" + inventory.Element(other)
	reaches(t, signals, "+ "+shownHelper(beside, "same", other, admin.UID))
	first.Close()
	reaches(t, signals, "- helper/"+beside, "! helper/same map[BusName:"+other+"]")
}

// rawHelper queues, and answers as the test wants.
type rawHelper struct {
	*rig.Raw
	tb testing.TB
}

func (w *world) rawHelper(u rig.User) *rawHelper {
	w.tb.Helper()
	r := &rawHelper{rig.DialRaw(w.tb, u, w.bus.Address), w.tb}
	r.Send(w.tb, rig.CallMessage("org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus", "RequestName", vmstateName, uint32(0)))
	return r
}

// question waits for the bridge's.
func (r *rawHelper) question() *dbus.Message {
	r.tb.Helper()
	for {
		m := r.Read(r.tb, rig.Timeout)
		if m == nil {
			r.tb.Fatal("nobody asks for the Id")
		}
		if m.Type == dbus.TypeMethodCall {
			return m
		}
	}
}

// answer answers a question with a body, or with an error of that name.
func (r *rawHelper) answer(q *dbus.Message, errorName string, body ...any) {
	r.tb.Helper()
	m := dbus.Message{Type: dbus.TypeMethodReply, Body: body, Headers: map[dbus.HeaderField]dbus.Variant{
		dbus.FieldDestination: q.Headers[dbus.FieldSender],
		dbus.FieldReplySerial: dbus.MakeVariant(q.Serial()),
	}}
	if len(body) > 0 {
		m.Headers[dbus.FieldSignature] = dbus.MakeVariant(dbus.SignatureOf(body...))
	}
	if errorName != "" {
		m.Type = dbus.TypeError
		m.Headers[dbus.FieldErrorName] = dbus.MakeVariant(errorName)
	}
	r.Send(r.tb, m)
}

// TestHelperAnswers has a helper answer with what is no Id: it is shown without, and others as ever.
func TestHelperAnswers(t *testing.T) {
	nested := dbus.MakeVariant("x")
	for range 20 {
		nested = dbus.MakeVariant(nested)
	}
	for name, test := range map[string]struct {
		errorName string
		body      []any
		id        string
	}{
		"an Id":              {"", []any{dbus.MakeVariant("right")}, "right"},
		"the longest":        {"", []any{dbus.MakeVariant(strings.Repeat("x", 255))}, strings.Repeat("x", 255)},
		"one too long":       {"", []any{dbus.MakeVariant(strings.Repeat("x", 256))}, ""},
		"far too long":       {"", []any{dbus.MakeVariant(strings.Repeat("x", 1<<20))}, ""},
		"an empty one":       {"", []any{dbus.MakeVariant("")}, ""},
		"control characters": {"", []any{dbus.MakeVariant("a\n\x1b[0m/../ä")}, "a\n\x1b[0m/../ä"},
		"a number":           {"", []any{dbus.MakeVariant(uint32(7))}, ""},
		"a path":             {"", []any{dbus.MakeVariant(dbus.ObjectPath("/a"))}, ""},
		"bytes":              {"", []any{dbus.MakeVariant([]byte("x"))}, ""},
		"a variant":          {"", []any{nested}, ""},
		"no variant":         {"", []any{"x"}, ""},
		"nothing":            {"", nil, ""},
		"two":                {"", []any{dbus.MakeVariant("x"), dbus.MakeVariant("y")}, ""},
		"an error":           {"org.example.Error", []any{strings.Repeat("x", 1<<20)}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := serve(t, newMachine(t, nil))
			signals := w.as(admin).everything()
			r := w.rawHelper(admin)
			r.answer(r.question(), test.errorName, test.body...)
			element := inventory.Element(r.Name)
			switch test.id {
			case "":
			case "a\n\x1b[0m/../ä":
				element = "a_0a_1b_5b0m_2f_2e_2e_2f_c3_a4"
			default:
				element = test.id
			}
			reaches(t, signals, "+ "+shownHelper(element, test.id, r.Name, admin.UID))
			other := w.helps(admin, "other")
			reaches(t, signals, "+ "+shownHelper("other", "other", other.Names()[0], admin.UID))
		})
	}
}

// TestHelperDenied has a helper's Id not to be read, as where the bus denies it: the log tells.
func TestHelperDenied(t *testing.T) {
	w, log := serveLogged(t, newMachine(t, nil))
	r := w.rawHelper(admin)
	r.answer(r.question(), "org.freedesktop.DBus.Error.AccessDenied")
	rig.Eventually(t, "it is logged", func() bool {
		return len(log.lines("must let the bridge's user call Properties.Get at /org/qemu/VMState1")) == 1
	})
}

// TestHelperAnswersForgedOrLate has an Id told by somebody else, whom this bus lets, and by a helper that is late or has
// left.
func TestHelperAnswersForgedOrLate(t *testing.T) {
	w := serve(t, newMachine(t, nil))
	signals := w.as(admin).everything()
	r := w.rawHelper(admin)
	q := r.question()
	forger := &rawHelper{rig.DialRaw(t, admin, w.bus.Address), t}
	forger.answer(q, "", dbus.MakeVariant("forged"))
	forger.answer(q, "org.example.Error")
	element := inventory.Element(r.Name)
	reaches(t, signals, "+ "+shownHelper(element, "", r.Name, admin.UID)) // when it is late
	r.answer(q, "", dbus.MakeVariant("late"))
	reaches(t, signals, "- helper/"+element, "+ "+shownHelper("late", "late", r.Name, admin.UID))

	gone := w.rawHelper(admin)
	gone.question()
	gone.Close()
	other := w.helps(admin, "other")
	reaches(t, signals, "+ "+shownHelper("other", "other", other.Names()[0], admin.UID))
}

// TestHelpersDecideNothing has helpers claim names of administrators, paths and words of policies: nobody's rights change.
func TestHelpersDecideNothing(t *testing.T) {
	rig.RequireRoot(t)
	m := newMachine(t, nil)
	w := serve(t, m)
	signals := w.as(viewer).everything()
	for _, id := range []string{"admin", "org.qemu.VM1", "0", ":1.1", `Role::"admin"`} {
		other := w.helps(stranger, id)
		reaches(t, signals, "+ "+shownHelper(inventory.Element(id), id, other.Names()[0], stranger.UID))
	}
	s := w.as(stranger)
	for _, call := range []func() error{
		func() error { return s.vm("Pause") },
		func() error { _, err := s.call(at("helper/admin"), propsIf+".Get", helperIf, "Id"); return err },
		func() error { _, err := s.call(vmPath, managerIf+".GetManagedObjects"); return err },
	} {
		if err := call(); errorName(err) != dbusError+"AccessDenied" {
			t.Errorf("a helper without a role: %v, want AccessDenied", err)
		}
	}
	if got := m.commands(); got != nil {
		t.Errorf("QEMU was told %q", got)
	}
}
