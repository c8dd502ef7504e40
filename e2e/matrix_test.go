package e2e_test

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/godbus/dbus/v5"
	"github.com/google/go-cmp/cmp"

	"qmp-dbus-bridge/e2e/rig"
)

// bridgeUser is who the bridge runs as in the matrix, so that root is another.
var bridgeUser = rig.User{UID: 10, GID: 10} // uucp

// adminClasses are all but monitor-control.
var adminClasses = []string{
	"read", "sensitive-read", "lifecycle", "input", "device", "storage", "network", "migration", "debug", "host",
}

// matrix says which classes of commands each may run by the built-in policy.
var matrix = []struct {
	name    string
	user    rig.User
	classes []string
}{
	{"nobody", rig.User{UID: 65534, GID: 65534}, nil},
	{"stranger", rig.Mail, nil},
	{"viewer", viewer, []string{"read"}},
	{"helper", helper, []string{"read"}},
	{"operator", operator, []string{"read", "lifecycle", "input"}},
	{"admin", admin, adminClasses},
	{"root", rig.Root, adminClasses},
	{"bridge", bridgeUser, adminClasses},
}

// mayRun is the built-in policy: classes, but for two commands.
func mayRun(classes []string, command, class string) bool {
	switch command {
	case "qmp_capabilities":
		return false
	case "quit":
		class = "host"
	}
	return slices.Contains(classes, class)
}

// TestMatrix has every role try every command of the running QEMU, by its typed method and by CallJson, with
// arguments that can't be: that is told only to those who may run the command, so nothing is
// executed. ListCommands and CanExecute say the same.
func TestMatrix(t *testing.T) {
	rig.RequireRoot(t)
	for name, flags := range map[string]func(*testing.T) []string{
		"dbus-daemon": func(t *testing.T) []string { return []string{"--bus-dir", filepath.Join(bridgeUser.TempDir(t), "bus")} },
		"dbus-broker": func(t *testing.T) []string { return []string{"--bus", rig.StartBroker(t, rig.Permissive).Address} },
	} {
		t.Run(name, func(t *testing.T) {
			trace := rig.TempDir(t) + "/trace"
			vm := rig.StartQEMU(t, rig.QEMU{Args: []string{"-D", trace, "-trace", "handle_qmp_command"}})
			if err := os.Chown(vm.Monitors[0], int(bridgeUser.UID), int(bridgeUser.GID)); err != nil {
				t.Fatal(err)
			}
			line := append(append([]string{"serve", "--qmp", vm.Monitors[0], "--audit", "none"}, grants...), flags(t)...)
			p := rig.Start(t, bridgeUser.Command(program, line...))
			p.WaitOutput(t, "bus=")
			t.Cleanup(func() { noRaces(t, p) })
			s := &siege{t: t, bridge: &bridge{p, readyAddress(p.Output())}, vm: vm, trace: trace}
			s.witness = rig.Root.MustDial(t, s.address)
			commands := s.classes()
			s.executed()
			for _, role := range matrix {
				t.Run(role.name, func(t *testing.T) {
					conn, err := role.user.Dial(s.address)
					if err != nil && len(role.classes) == 0 && name == "dbus-daemon" {
						return // the bus turns them away
					}
					if err != nil {
						t.Fatal(err)
					}
					defer conn.Close()
					tryCommands(t, conn, commands, role.classes)
				})
			}
			s.nothingExecuted()
		})
	}
}

// commandOf is a command of QEMU's on the bus.
type commandOf struct{ class, member string } // no member where it is not typed

// noSuchCommand is none of any QEMU's.
const noSuchCommand = "no-such-command"

// impossible are arguments that no command takes: a structure, or, of those that have one signature for all versions, a descriptor
// that does not come with the call.
func impossible(command string) []any {
	const none = dbus.UnixFDIndex(1 << 20)
	switch command {
	case "getfd":
		return []any{"name", none}
	case "add-fd":
		return []any{none, options()}
	}
	return []any{struct{ A byte }{1}}
}

// classes are the commands of the running QEMU with their classes by the table in the sources.
func (s *siege) classes() map[string]commandOf {
	s.t.Helper()
	text, err := os.ReadFile("../bridge/action/risk.tsv")
	if err != nil {
		s.t.Fatal(err)
	}
	risk := map[string]string{}
	for line := range strings.Lines(string(text)) {
		if columns := strings.Split(line, "\t"); !strings.HasPrefix(line, "#") {
			risk[columns[0]] = columns[1]
		}
	}
	result, err := qmp(s.witness, "query-commands", nil)
	if err != nil {
		s.t.Fatal(err)
	}
	methods, _ := table(s.t, s.witness)
	commands := map[string]commandOf{noSuchCommand: {class: "host"}}
	for _, command := range result.([]map[string]dbus.Variant) {
		name := command["name"].Value().(string)
		class := risk[name]
		if class == "" {
			class = "host"
		}
		commands[name] = commandOf{class, methods[name]}
	}
	if len(commands) < 200 {
		s.t.Fatalf("only %d commands", len(commands))
	}
	return commands
}

// tryCommands tries all commands as one who may run those of the classes; denials first.
func tryCommands(t *testing.T, conn *dbus.Conn, commands map[string]commandOf, classes []string) {
	t.Helper()
	var listed []string
	object := conn.Object(busName, qmpPath)
	names := slices.Sorted(maps.Keys(commands))
	for _, allowed := range []bool{false, true} {
		want := dbusError + map[bool]string{false: "AccessDenied", true: "InvalidArgs"}[allowed]
		for _, name := range names {
			command := commands[name]
			if mayRun(classes, name, command.class) != allowed {
				continue
			}
			if got := errorName(object.Call(qmpIf+".CallJson", 0, name, "{").Err); got != want {
				t.Errorf("CallJson %s (%s): %s, want %s", name, command.class, got, want)
			}
			if command.member != "" {
				if got := errorName(object.Call(qmpIf+"."+command.member, 0, impossible(name)...).Err); got != want {
					t.Errorf("%s (%s): %s, want %s", command.member, command.class, got, want)
				}
			}
			if allowed && name != noSuchCommand {
				listed = append(listed, name)
			}
		}
	}
	var list []string
	vm := conn.Object(busName, vmPath)
	err := vm.Call(busName+".ListCommands", 0).Store(&list)
	if len(classes) == 0 {
		wantError(t, err, dbusError+"AccessDenied")
		wantError(t, vm.Call(busName+".CanExecute", 0, "query-name").Err, dbusError+"AccessDenied")
		return
	}
	if diff := cmp.Diff(listed, list); err != nil || diff != "" {
		t.Errorf("ListCommands: %v, (-want +got):\n%s", err, diff)
	}
	wantError(t, vm.Call(busName+".CanExecute", 0, noSuchCommand).Err, dbusError+"InvalidArgs")
	for _, name := range names {
		var can bool
		want := mayRun(classes, name, commands[name].class)
		if name == noSuchCommand {
			continue
		}
		if err := vm.Call(busName+".CanExecute", 0, name).Store(&can); err != nil || can != want {
			t.Errorf("CanExecute(%s) = %v, %v, want %v", name, can, err, want)
		}
	}
}
