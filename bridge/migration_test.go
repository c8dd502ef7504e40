package bridge_test

import (
	"io"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"
	"github.com/google/go-cmp/cmp"

	"qmp-dbus-bridge/bridge/inventory"
	"qmp-dbus-bridge/e2e/rig"
	"qmp-dbus-bridge/qmp/qmptest"
)

const (
	migrationIf = busName + ".Migration"
	schema7     = "qmp-schema-7.2.22-x86_64.json"
	schema10    = "qmp-schema-10.0.2-x86_64.json"
)

// newMigrating is a QEMU that can migrate, with the commands of a captured one.
func newMigrating(t *testing.T, schema string) *machine {
	t.Helper()
	return newMachine(t, map[string]string{"query-qmp-schema": captured(t)[schema], "query-migrate": "{}"})
}

// migrationAt is an answer to query-migrate.
func migrationAt(status, remaining string) string {
	return `{"status": "` + status + `", "ram": {"total": 8, "remaining": ` + remaining + `, "transferred": 5}}`
}

// migration calls a method of the migration.
func (c *caller) migration(method string, args ...any) error {
	c.tb.Helper()
	_, err := c.call(at("migration"), migrationIf+"."+method, args...)
	return err
}

// to is the target of a migration.
func to(target any) dbus.Variant { return dbus.MakeVariant(target) }

// TestMigrationShown has a migration that no event tells of go its way: it is asked for again as long as it goes on, and no
// longer.
func TestMigrationShown(t *testing.T) {
	m := newMigrating(t, schema7)
	w := serve(t, m)
	signals := w.as(viewer).everything()
	c := w.as(admin)
	if got := c.objects()["migration"]["Status"]; got != "none" {
		t.Fatalf("Status = %v, want none", got)
	}
	m.answer("query-migrate", `{"status": "setup"}`)
	if err := c.migration("Start", to("tcp:192.0.2.1:4444"), none); err != nil {
		t.Fatal(err)
	}
	if got := c.objects()["migration"]["Status"]; got != "setup" {
		t.Errorf("Status = %v when Start has returned, want setup", got)
	}
	told(t, signals, "! migration map[Status:setup]")
	m.answer("query-migrate", migrationAt("active", "6"))
	told(t, signals, "! migration map[Progress:0.25 Remaining:6 Status:active Total:8 Transferred:5]")
	m.answer("query-migrate", migrationAt("active", "7")) // the guest has written
	told(t, signals, "! migration map[Progress:0.125 Remaining:7]")
	m.answer("query-migrate", `{"status": "failed", "error-desc": "Unable to write to socket: Broken pipe"}`)
	told(t, signals, "! migration map[Progress:0 Remaining:0 Status:failed Total:0 Transferred:0]")
	if got := w.as(admin).objects()["migration"]["Error"]; got != "Unable to write to socket: Broken pipe" {
		t.Errorf("Error = %q, which who may query-migrate may know", got)
	}
	asked := m.counts()["query-migrate"]
	time.Sleep(inventory.Pace + inventory.Pace/4)
	if now := m.counts()["query-migrate"]; now != asked {
		t.Errorf("query-migrate came %d times though nothing goes on", now-asked)
	}
}

// TestMigrationOfOthers has a migration that somebody else has begun: an event tells, and a guest that stops.
func TestMigrationOfOthers(t *testing.T) {
	for _, event := range []string{"MIGRATION", "STOP", "RESUME"} {
		m := newMigrating(t, schema7)
		signals := serve(t, m).as(viewer).everything()
		m.answer("query-migrate", migrationAt("completed", "0"))
		m.client().Event(event, "")
		told(t, signals, "! migration map[Progress:1 Status:completed Total:8 Transferred:5]")
	}
}

// TestMigrationGoesWithQEMU has QEMU go while it migrates, and come back.
func TestMigrationGoesWithQEMU(t *testing.T) {
	m := newMigrating(t, schema7)
	m.answer("query-migrate", migrationAt("active", "6"))
	w := serve(t, m)
	c := w.as(admin)
	signals := w.as(viewer).everything()
	m.die()
	told(t, signals, "- migration")
	if err := c.migration("Cancel"); errorName(err) != dbusError+"UnknownObject" {
		t.Errorf("Cancel without QEMU: %v, want UnknownObject", err)
	}
	follow(t, signals) // of the VM
	m.answer("query-migrate", migrationAt("active", "4"))
	m.listen(qmptest.Options{})
	told(t, signals, "+ migration map[DowntimeMs:0 Progress:0.5 Remaining:4 Status:active Total:8 Transferred:5]")
	follow(t, signals) // of the VM
	m.answer("query-migrate", migrationAt("completed", "0"))
	told(t, signals, "! migration map[Progress:1 Remaining:0 Status:completed]")
}

// TestMigrationCommands has each method called.
func TestMigrationCommands(t *testing.T) {
	m := newMigrating(t, schema7)
	c := serve(t, m).as(admin)
	for _, test := range []struct {
		method string
		args   []any
		want   string
	}{
		{"Start", []any{to("unix:/run/m"), none}, `migrate {"uri":"unix:/run/m"}`},
		{"Start", []any{to(to(dbus.ObjectPath("/run"))), variants("resume", to(true))}, `migrate {"uri":"/run","resume":true}`},
		{"Cancel", nil, "migrate_cancel"},
		{"PauseCopy", nil, "migrate-pause"},
		{"Continue", nil, `migrate-continue {"state":"pre-switchover"}`},
		{"SetParameters", []any{none}, "migrate-set-parameters"},
		{"SetParameters", []any{variants("max-bandwidth", uint64(1<<20))}, `migrate-set-parameters {"max-bandwidth":1048576}`},
	} {
		m.commands()
		if err := c.migration(test.method, test.args...); err != nil {
			t.Errorf("%s%v: %v", test.method, test.args, err)
		}
		if diff := cmp.Diff([]string{test.want}, m.commands()); diff != "" {
			t.Errorf("%s%v (-want +got):\n%s", test.method, test.args, diff)
		}
	}
}

// TestMigrationContinues has a migration that QEMU does not let go on: there is nothing to continue, whatever the object shows.
func TestMigrationContinues(t *testing.T) {
	m := newMigrating(t, schema7)
	m.answer("query-migrate", migrationAt("active", "6"))
	m.script("migrate-continue", func(_ *qmptest.QEMU, r *qmptest.Request) {
		r.Fail("GenericError", "Migration not in expected state: active")
	})
	err := serve(t, m).as(admin).migration("Continue")
	const want = "Continue is for a migration whose Status is pre-switchover, as the capability pause-before-switchover makes it: " +
		"Migration not in expected state: active"
	if errorName(err) != ourError+"Qmp.GenericError" || err.Error() != want {
		t.Errorf("Continue = %v, want %s", err, want)
	}
	if diff := cmp.Diff([]string{`migrate-continue {"state":"pre-switchover"}`}, m.commands()); diff != "" {
		t.Errorf("QEMU was told (-want +got):\n%s", diff)
	}
}

// TestMigrationPausesOutOfBand has QEMU stuck: a migration can still be paused.
func TestMigrationPausesOutOfBand(t *testing.T) {
	m := newMigrating(t, schema7)
	c := serve(t, m).as(admin)
	m.hold("query-migrate", true)
	oob := make(chan bool, 1)
	m.script("migrate-pause", func(_ *qmptest.QEMU, r *qmptest.Request) {
		oob <- r.OOB
		r.Return("{}")
	})
	if err := c.migration("PauseCopy"); err != nil || !<-oob {
		t.Errorf("PauseCopy = %v, want it out of band", err)
	}
	m.finish("query-migrate", nil)
}

// TestMigrationArguments has arguments that are wrong: QEMU gets nothing, and who calls is told where and why.
func TestMigrationArguments(t *testing.T) {
	pipe, _ := newPipe(t)
	fd := dbus.UnixFD(pipe.Fd())
	for _, test := range []struct {
		schema, method string
		args           []any
		want           string
	}{
		{schema7, "Start", []any{to(int32(7)), none}, "target: expected a URI (s) or a descriptor (h), got D-Bus type 'i'"},
		{schema7, "Start", []any{to(to(true)), none}, "target: expected a URI (s) or a descriptor (h), got D-Bus type 'b'"},
		{schema7, "Start", []any{"tcp:x", none}, "org.qemu.VM1.Migration.Start: expected arguments (v target, a{sv} options), got 'sa{sv}'"},
		{schema7, "Start", []any{to("tcp:x"), variants("uri", "exec:x")}, "migrate.uri: given as an argument and in the dictionary"},
		{schema7, "Start", []any{to("tcp:x"), variants("inc", "yes")}, "migrate.inc: expected bool, got string"},
		{schema7, "Start", []any{to("tcp:x"), variants("fast", true)}, "migrate.fast: unknown member; there are blk, inc, detach, resume"},
		{schema7, "Start", []any{to("tcp:\uFFFE"), none}, "migrate.uri: "},
		{schema7, "Start", []any{to(fd), variants("uri", "exec:x")}, "migrate.uri: given as an argument and in the dictionary"},
		{schema7, "Start", []any{to(fd), variants("inc", "yes")}, "migrate.inc: expected bool, got string"},
		{schema7, "Start", []any{to(fd), variants("inc", fd)}, "migrate.inc: expected bool, got file descriptor"},
		{schema7, "Start", []any{to(fd), variants("channels", []string{})}, "migrate.channels: unknown member"},
		{schema7, "SetParameters", []any{variants("max-bandwidth", "fast")}, "migrate-set-parameters.max-bandwidth: "},
		{schema7, "SetParameters", []any{variants("cpr-exec-command", []string{"/bin/sh"})}, "migrate-set-parameters.cpr-exec-command: unknown member"},
	} {
		m := newMigrating(t, test.schema)
		err := serve(t, m).as(admin).migration(test.method, test.args...)
		if errorName(err) != dbusError+"InvalidArgs" || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s%v = %v, want InvalidArgs: %s", test.method, test.args, err, test.want)
		}
		if got := m.commands(); got != nil {
			t.Errorf("QEMU was told %q, want nothing", got)
		}
	}
}

// newPipe is a pipe until the test ends.
func newPipe(t *testing.T) (writer, reader *os.File) {
	t.Helper()
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		reader.Close()
		writer.Close() // the test may have
	})
	return writer, reader
}

// wantEnd fails if anybody has the pipe's other end.
func wantEnd(t *testing.T, reader *os.File) {
	t.Helper()
	if err := reader.SetReadDeadline(time.Now().Add(rig.Timeout)); err != nil {
		t.Fatal(err)
	}
	if text, err := io.ReadAll(reader); err != nil || len(text) > 0 {
		t.Errorf("read %q, %v of a pipe that nobody should have", text, err)
	}
}

// fdNames are the names that the bridge gives descriptors.
var fdNames = regexp.MustCompile(`b[0-9]+-[A-Z2-7]{26}`)

// named are commands in which each name is NAME, which must be one and the same.
func named(t *testing.T, commands []string) (list []string) {
	t.Helper()
	names := map[string]bool{}
	for _, c := range commands {
		list = append(list, fdNames.ReplaceAllStringFunc(c, func(name string) string {
			names[name] = true
			return "NAME"
		}))
	}
	if len(names) != 1 {
		t.Errorf("the names of descriptors in %q, want one", commands)
	}
	return list
}

// startOver calls Start with the last of these descriptors as the target; the others come with it.
func (w *world) startOver(options map[string]dbus.Variant, files ...*os.File) error {
	w.tb.Helper()
	r := rig.DialRaw(w.tb, admin, w.bus.Address)
	m := rig.CallMessage(busName, at("migration"), migrationIf, "Start", to(dbus.UnixFDIndex(len(files)-1)), options)
	var fds []int
	for _, f := range files {
		fds = append(fds, int(f.Fd()))
	}
	if err := r.SendFDs(w.tb, m, fds...); err != nil {
		w.tb.Fatal(err)
	}
	reply := r.Reply(w.tb)
	if reply.Type == dbus.TypeError {
		return dbus.Error{Name: reply.Headers[dbus.FieldErrorName].Value().(string), Body: reply.Body}
	}
	return nil
}

// TestMigrationToDescriptor passes a descriptor: QEMU gets it, and the bridge closes it in every case. What QEMU is sent does not wait
// for its answers, so that migrate comes after getfd whatever becomes of that.
func TestMigrationToDescriptor(t *testing.T) {
	refuse := func(_ *qmptest.QEMU, r *qmptest.Request) { r.Fail("GenericError", "no") }
	hangUp := func(q *qmptest.QEMU, _ *qmptest.Request) { q.Hangup() }
	const (
		getfd   = `getfd {"fdname":"NAME"}`
		migrate = `migrate {"uri":"fd:NAME","resume":true}`
		closefd = `closefd {"fdname":"NAME"}`
	)
	for name, test := range map[string]struct {
		command string // that does not succeed
		script  qmptest.Handler
		want    []string
		err     string
	}{
		"all is well":                    {"", nil, []string{getfd, migrate}, ""},
		"getfd is refused":               {"getfd", refuse, []string{getfd, migrate}, ourError + "Qmp.GenericError"},
		"migrate is refused":             {"migrate", refuse, []string{getfd, migrate, closefd}, ourError + "Qmp.GenericError"},
		"the connection ends at getfd":   {"getfd", hangUp, []string{getfd, migrate}, ourError + "Disconnected"},
		"the connection ends at migrate": {"migrate", hangUp, []string{getfd, migrate}, ourError + "Disconnected"},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMigrating(t, schema7)
			if test.script != nil {
				m.script(test.command, test.script)
			}
			w := serve(t, m)
			writer, reader := newPipe(t)
			err := w.startOver(variants("resume", true), writer)
			if got := errorName(err); err != nil && got != test.err || err == nil && test.err != "" {
				t.Errorf("Start = %v, want %q", err, test.err)
			}
			got := named(t, m.commands())
			if test.err == ourError+"Disconnected" { // that QEMU is reached again, and told to close what it may have
				got = slices.DeleteFunc(got, func(line string) bool { return line == closefd })
			}
			if test.command == "getfd" && len(got) == 1 { // migrate came after the end, or getfd had been answered before it was sent
				got = append(got, migrate)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("commands (-want +got):\n%s", diff)
			}
			m.die() // closes what it has got
			writer.Close()
			wantEnd(t, reader)
		})
	}
}

// TestMigrationToDescriptors has one come that is no argument: nothing would be done with it, so nothing is done.
func TestMigrationToDescriptors(t *testing.T) {
	m := newMigrating(t, schema7)
	w := serve(t, m)
	target, reader := newPipe(t)
	other, otherReader := newPipe(t)
	err := w.startOver(variants("resume", true), other, target)
	if errorName(err) != dbusError+"InvalidArgs" || !strings.Contains(err.Error(), "the file descriptor 0 of the message is no argument") {
		t.Errorf("Start = %v, want InvalidArgs", err)
	}
	if got := m.commands(); got != nil {
		t.Errorf("QEMU was told %q, want nothing", got)
	}
	target.Close()
	other.Close()
	wantEnd(t, reader)
	wantEnd(t, otherReader)
}

// TestMigrationToDescriptorIsWritten has the fake QEMU write into what it was given.
func TestMigrationToDescriptorIsWritten(t *testing.T) {
	m := newMigrating(t, schema10)
	m.script("getfd", func(_ *qmptest.QEMU, r *qmptest.Request) {
		if len(r.Files) != 1 {
			t.Errorf("getfd came with %d descriptors", len(r.Files))
		} else if _, err := r.Files[0].WriteString("memory"); err != nil {
			t.Error(err)
		}
		r.Return("{}")
	})
	writer, reader := newPipe(t)
	if err := serve(t, m).as(admin).migration("Start", to(to(dbus.UnixFD(writer.Fd()))), none); err != nil {
		t.Fatal(err)
	}
	text := make([]byte, len("memory"))
	if _, err := io.ReadFull(reader, text); err != nil || string(text) != "memory" {
		t.Errorf("read %q, %v", text, err)
	}
}

// TestMigrationRefused has a migrate that QEMU refuses, which counts as one that failed: the object shows that when the call
// returns, whoever made it. Another that goes on clears it.
func TestMigrationRefused(t *testing.T) {
	writer, _ := newPipe(t)
	for name, start := range map[string]func(*caller) error{
		"Start":               func(c *caller) error { return c.migration("Start", to("tcp:x"), none) },
		"Start, a descriptor": func(c *caller) error { return c.migration("Start", to(dbus.UnixFD(writer.Fd())), none) },
		"CallJson": func(c *caller) error {
			_, err := c.call(qmpPath, callJSON, "migrate", `{"uri":"tcp:x"}`)
			return err
		},
	} {
		m := newMigrating(t, schema7)
		m.script("migrate", func(_ *qmptest.QEMU, r *qmptest.Request) {
			m.answer("query-migrate", `{"status": "failed", "error-desc": "no such descriptor"}`)
			r.Fail("GenericError", "no such descriptor")
		})
		c := serve(t, m).as(admin)
		if err := start(c); errorName(err) != ourError+"Qmp.GenericError" || !strings.Contains(err.Error(), "no such descriptor") {
			t.Errorf("%s = %v", name, err)
		}
		if got := c.objects()["migration"]; got["Status"] != "failed" || got["Error"] != "no such descriptor" {
			t.Errorf("%s: %v, want failed", name, got)
		}
		m.script("migrate", nil)
		m.answer("query-migrate", `{"status": "active"}`)
		if err := c.migration("Start", to("tcp:x"), none); err != nil {
			t.Error(err)
		}
		if got := c.objects()["migration"]; got["Status"] != "active" || got["Error"] != "" {
			t.Errorf("%s, and another: %v, want active", name, got)
		}
	}
}

// targetsPolicy lets helpers migrate to descriptors, and cancel, and operators to one host.
const targetsPolicy = `
@id("over") permit (principal in Role::"helper", action == Action::"migrate", resource)
  when { context.argumentNames == ["uri"] && context.arguments.uri == "fd:" };
@id("cancel") permit (principal in Role::"helper", action == Action::"migrate_cancel", resource);
@id("host") permit (principal in Role::"operator", action == Action::"migrate", resource)
  when { context.arguments has uri && context.arguments.uri like "tcp:192.0.2.7:*" };`

// TestMigrationPolicy has callers who may migrate to some targets and no others.
func TestMigrationPolicy(t *testing.T) {
	m := newMigrating(t, schema10)
	w := newWorld(t, m.dial)
	w.cedar = []string{targetsPolicy}
	w.join()
	w.run()
	writer, reader := newPipe(t)
	fd := to(dbus.UnixFD(writer.Fd()))
	for _, test := range []struct {
		user   rig.User
		method string
		args   []any
		may    bool
	}{
		{helper, "Start", []any{to("tcp:192.0.2.7:4444"), none}, false},
		{helper, "Start", []any{to("exec:id"), none}, false},
		{helper, "Start", []any{fd, variants("channels", []dict{})}, false},
		{helper, "Start", []any{fd, variants("detach", true)}, false},
		{helper, "PauseCopy", nil, false},
		{helper, "SetParameters", []any{none}, false},
		{operator, "Start", []any{fd, none}, false},
		{operator, "Start", []any{to("exec:id"), none}, false},
		{operator, "Cancel", nil, false},
		{viewer, "Start", []any{fd, none}, false},
		{stranger, "Start", []any{fd, none}, false},
		{stranger, "Continue", nil, false},
		{helper, "Start", []any{fd, none}, true},
		{helper, "Cancel", nil, true},
		{operator, "Start", []any{to("tcp:192.0.2.7:4444"), none}, true},
	} {
		m.commands()
		err := w.as(test.user).migration(test.method, test.args...)
		if test.may && err != nil || !test.may && errorName(err) != dbusError+"AccessDenied" {
			t.Errorf("uid %d: %s%v = %v, want allowed %v", test.user.UID, test.method, test.args, err, test.may)
		}
		if got := m.commands(); test.may != (got != nil) {
			t.Errorf("uid %d: %s%v: QEMU was told %q", test.user.UID, test.method, test.args, got)
		}
	}
	m.commands()
	if err := w.as(helper).migration("Start", to("fd:0"), none); errorName(err) != dbusError+"InvalidArgs" || m.commands() != nil {
		t.Errorf("Start to what is no descriptor of the caller's: %v, want InvalidArgs", err)
	}
	m.die()
	writer.Close()
	wantEnd(t, reader)
}

// TestMigrationRecorded has the audit tell of a migrate to a descriptor once, and nothing of what the bridge did for it.
func TestMigrationRecorded(t *testing.T) {
	m := newMigrating(t, schema7)
	w := serve(t, m)
	writer, _ := newPipe(t)
	c := w.as(admin)
	if err := c.migration("Start", to(dbus.UnixFD(writer.Fd())), none); err != nil {
		t.Fatal(err)
	}
	if _, err := c.execute("query-name"); err != nil { // when it is recorded, so is all before
		t.Fatal(err)
	}
	var actions []string
	for _, r := range w.records(2) {
		actions = append(actions, r.Action+" "+r.Result)
	}
	if diff := cmp.Diff([]string{"migrate ok", "query-name ok"}, actions); diff != "" {
		t.Errorf("recorded (-want +got):\n%s", diff)
	}
}

// TestMigrationIsLacked has QEMUs that can't migrate, or lack a command for it.
func TestMigrationIsLacked(t *testing.T) {
	c := serve(t, newMachine(t, nil)).as(admin)
	if err := c.migration("Cancel"); errorName(err) != dbusError+"UnknownObject" {
		t.Errorf("Cancel of a QEMU that can't migrate: %v, want UnknownObject", err)
	}
	for _, child := range c.introspect(vmPath).Children {
		if child.Name == "migration" {
			t.Error("the introspection data has a migration")
		}
	}
	writer, _ := newPipe(t)
	m := newMachine(t, map[string]string{"query-migrate": "{}"})
	c = serve(t, m).as(admin)
	for method, args := range map[string][]any{
		"Start": {to(dbus.UnixFD(writer.Fd())), none}, "Cancel": nil, "PauseCopy": nil, "Continue": nil,
		"SetParameters": {variants("max-bandwidth", 1)},
	} {
		if err := c.migration(method, args...); errorName(err) != dbusError+"NotSupported" {
			t.Errorf("%s: %v, want NotSupported", method, err)
		}
	}
	if got := m.commands(); got != nil {
		t.Errorf("QEMU was told %q, want nothing", got)
	}
}

// TestMigrationErrorIsNotForAll has QEMU's words about a failure, which may quote a URI, in no signal, and given to those alone who
// may query-migrate.
func TestMigrationErrorIsNotForAll(t *testing.T) {
	m := newMigrating(t, schema7)
	w := newWorld(t, m.dial)
	w.cedar = []string{`@id("knows") permit (principal in Role::"operator", action == Action::"query-migrate", resource);`}
	w.join()
	w.run()
	signals := w.as(stranger).everything()
	m.answer("query-migrate", `{"status": "failed", "error-desc": "secret"}`)
	m.client().Event("MIGRATION", `{"status": "failed"}`)
	s := next(t, signals)
	for s.Path != at("migration") {
		s = next(t, signals)
	}
	if changed := s.Body[1].(dict); len(changed) != 1 || changed["Status"].Value() != "failed" {
		t.Errorf("PropertiesChanged has %v, want Status alone", changed)
	}
	if invalidated := s.Body[2].([]string); len(invalidated) != 1 || invalidated[0] != "Error" {
		t.Errorf("PropertiesChanged tells to read %q again, want Error", invalidated)
	}
	for user, sees := range map[rig.User]bool{viewer: false, operator: true} {
		got, has := w.as(user).objects()["migration"]["Error"]
		if has != sees || sees && got != "secret" {
			t.Errorf("uid %d: Error = %v, %v", user.UID, got, has)
		}
	}
}
