package e2e_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/godbus/dbus/v5"

	"qmp-dbus-bridge/e2e/rig"
)

// secretCommand is a line of testdata/secrets.jsonl. SECRET in its arguments stands for a secret,
// BASE64 for one in base64.
type secretCommand struct {
	Execute   string
	Arguments map[string]any
}

func secretCommands(t *testing.T) (commands []secretCommand) {
	t.Helper()
	text, err := os.ReadFile("testdata/secrets.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	for line := range bytes.Lines(text) {
		var c secretCommand
		d := json.NewDecoder(bytes.NewReader(line))
		d.UseNumber()
		if err := d.Decode(&c); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		commands = append(commands, c)
	}
	return commands
}

// secretMark begins every secret; secretMark64 does in base64, which is why it has a multiple of 3 bytes.
const secretMark = "zSeCrEtZ7"

var secretMark64 = base64.StdEncoding.EncodeToString([]byte(secretMark))

// secrets gives each place that holds a secret one of its own.
type secrets struct{ count int }

func (s *secrets) next() string {
	s.count++
	return fmt.Sprintf("%s%dq", secretMark, s.count)
}

// in replaces the secrets in a value of JSON, and has spoil change what holds any.
func (s *secrets) in(v any, spoil func(string) any) any {
	switch v := v.(type) {
	case string:
		text := strings.ReplaceAll(v, "SECRET", s.next())
		text = strings.ReplaceAll(text, "BASE64", base64.StdEncoding.EncodeToString([]byte(s.next())))
		if text == v {
			return v
		}
		return spoil(text)
	case map[string]any:
		object := map[string]any{}
		for name, member := range v {
			object[strings.ReplaceAll(name, "SECRET", s.next())] = s.in(member, spoil)
		}
		return object
	case []any:
		list := []any{}
		for _, element := range v {
			list = append(list, s.in(element, spoil))
		}
		return list
	}
	return v
}

// variant is a value of JSON as a D-Bus value.
func variant(v any) dbus.Variant {
	switch v := v.(type) {
	case map[string]any:
		return dbus.MakeVariant(variants(v))
	case []any:
		list := []dbus.Variant{}
		for _, element := range v {
			list = append(list, variant(element))
		}
		return dbus.MakeVariant(list)
	case json.Number:
		n, _ := v.Int64()
		return dbus.MakeVariant(n)
	}
	return dbus.MakeVariant(v)
}

func variants(object map[string]any) map[string]dbus.Variant {
	members := map[string]dbus.Variant{}
	for name, v := range object {
		members[name] = variant(v)
	}
	return members
}

// spoilers make a valid value or one that is refused for itself. What refuses it tells the caller
// why, and nobody else.
var spoilers = map[string]func(string) any{
	"valid":        func(s string) any { return s },
	"another type": func(s string) any { return []any{s} },
	"member":       func(s string) any { return map[string]any{s: s} },
	"noncharacter": func(s string) any { return s + "\uffff" },
	"too long":     func(s string) any { return s + strings.Repeat("x", 64<<10) },
}

// TestSecretsStayOut runs all commands of the corpus by every way, valid and malformed, as a caller who may and one
// who may not, ends QEMU with secrets on their way, and looks for any in what anybody else can read.
func TestSecretsStayOut(t *testing.T) {
	rig.RequireRoot(t)
	onBothBuses(t, testSecretsStayOut)
}

func testSecretsStayOut(t *testing.T, flags []string) {
	vm := rig.StartQEMU(t, rig.QEMU{})
	audit := filepath.Join(rig.TempDir(t), "audit")
	b := serveQEMU(t, vm, append(flags, "--audit", audit, "--grant", "viewer=uid:1", "--policy", failingPolicy(t))...)
	root, viewer := rig.Root.MustDial(t, b.address), rig.Alice.MustDial(t, b.address)
	signals := watch(t, viewer)
	methods, _ := table(t, root)
	var s secrets
	calls := 0
	for _, c := range secretCommands(t) {
		for name, spoil := range spoilers {
			if name == "too long" && c.Execute != "set_password" { // it takes time, and commands don't differ
				continue
			}
			for _, conn := range []*dbus.Conn{root, viewer} {
				arguments := s.in(c.Arguments, spoil).(map[string]any)
				calls += send(t, conn, methods[c.Execute], c.Execute, arguments, name == "valid")
			}
		}
	}
	vm.Signal(t, syscall.SIGKILL) // with the last ones on their way, maybe
	rig.Eventually(t, "QEMU has gone", func() bool { return !get[bool](t, root, "Connected") })
	calls += send(t, root, "", "set_password", map[string]any{"password": s.next()}, true)

	seen := map[string]string{"properties and introspection": whatIsShown(t, viewer)}
	b.Stop()
	seen["output, log and bus's log"] = b.Output()
	text, err := os.ReadFile(audit)
	if err != nil {
		t.Fatal(err)
	}
	seen["audit"] = string(text)
	var broadcast strings.Builder
	for len(signals) > 0 {
		fmt.Fprintln(&broadcast, <-signals)
	}
	seen["signals"] = broadcast.String()
	for where, text := range seen {
		for line := range strings.Lines(text) {
			if strings.Contains(line, secretMark) || strings.Contains(line, secretMark64) {
				t.Errorf("a secret is in the %s: %.300q", where, line)
			}
		}
	}
	if records := strings.Count(seen["audit"], "\n"); records < calls {
		t.Errorf("%d records of %d calls", records, calls)
	}
	if !strings.Contains(seen["output, log and bus's log"], "a policy can't be evaluated") {
		t.Error("the policy that fails on arguments was not logged: is it still one?")
	}
	t.Logf("%d secrets in %d calls; %d bytes of audit, %d of log", s.count, calls, len(text), len(b.Output()))
}

// send runs a command in every way, and counts the calls. Wanted is that each is answered.
func send(t *testing.T, conn *dbus.Conn, method, command string, arguments map[string]any, valid bool) (calls int) {
	t.Helper()
	text, err := json.Marshal(arguments)
	if err != nil {
		t.Fatal(err)
	}
	object := conn.Object(busName, qmpPath)
	object.Call(qmpCall, 0, command, variants(arguments))
	object.Call(qmpIf+".CallJson", 0, command, string(text))
	calls = 2
	if method != "" {
		object.Call(qmpIf+"."+method, 0, variants(arguments))
		calls++
	}
	if valid { // JSON that is none, or says something twice
		half := string(text[:len(text)-1])
		object.Call(qmpIf+".CallJson", 0, command, half)
		object.Call(qmpIf+".CallJson", 0, command, half+`,`+strings.TrimPrefix(string(text), "{"))
		calls += 2
	}
	return calls
}

// failingPolicy looks at arguments as what they are not, which is told in the log.
func failingPolicy(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "failing.cedar")
	text := `@id("failing") permit (principal in Role::"viewer", action, resource) when {
	context has arguments && context.arguments has password && context.arguments.password > 3 ||
	context.arguments has value && context.arguments.value > 3 };`
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// whatIsShown is what a viewer can read.
func whatIsShown(t *testing.T, conn *dbus.Conn) string {
	t.Helper()
	var shown strings.Builder
	for _, path := range []dbus.ObjectPath{vmPath, qmpPath} {
		var properties map[string]dbus.Variant
		if err := conn.Object(busName, path).Call(propsIf+".GetAll", 0, "org.qemu.VM1").Store(&properties); err == nil {
			fmt.Fprintln(&shown, properties)
		}
		var xml string
		if err := conn.Object(busName, path).Call("org.freedesktop.DBus.Introspectable.Introspect", 0).Store(&xml); err != nil {
			t.Fatal(err)
		}
		shown.WriteString(xml)
	}
	return shown.String()
}

// secretNames are the names of members that hold secrets, or tell which secret.
var secretNames = regexp.MustCompile(`pass|secret|cookie|^keyid$|^command-line$|^data$|^packet-header$|^value$|^url$|^uri$|^host-data$`)

// TestSecretCorpusIsWhole looks for such members of all commands in the captured schemas: the corpus has each.
func TestSecretCorpusIsWhole(t *testing.T) {
	want := map[string]bool{}
	files, err := filepath.Glob("../schema/testdata/schemas/*.json")
	if err != nil || len(files) == 0 {
		t.Fatal("no captured schema", err)
	}
	for _, file := range files {
		findSecretMembers(t, file, want)
	}
	have := map[string]bool{}
	for _, c := range secretCommands(t) {
		noteSecretMembers(c.Execute, c.Arguments, have)
	}
	for _, member := range slices.Sorted(maps.Keys(want)) {
		if !have[member] {
			t.Errorf("testdata/secrets.jsonl has no %s", member)
		}
	}
}

// noteSecretMembers notes as "command member" what holds a secret.
func noteSecretMembers(command string, v any, have map[string]bool) {
	switch v := v.(type) {
	case map[string]any:
		for name, member := range v {
			if text, err := json.Marshal(member); err == nil && regexp.MustCompile("SECRET|BASE64").Match(text) {
				have[command+" "+name] = true
			}
			noteSecretMembers(command, member, have)
		}
	case []any:
		for _, element := range v {
			noteSecretMembers(command, element, have)
		}
	}
}

// findSecretMembers notes as "command member" the strings with such names in the arguments of a schema's commands.
func findSecretMembers(t *testing.T, file string, found map[string]bool) {
	t.Helper()
	type member struct{ Name, Type string }
	type entity struct {
		Name, ArgType, ElementType string
		Meta                       string `json:"meta-type"`
		Arg                        string `json:"arg-type"`
		Element                    string `json:"element-type"`
		JSON                       string `json:"json-type"`
		Members                    []member
		Variants                   []struct{ Type string }
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var reply struct{ Return []json.RawMessage }
	var list []json.RawMessage
	if json.Unmarshal(text, &list) != nil {
		if err := json.Unmarshal(text, &reply); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		list = reply.Return
	}
	entities := map[string]entity{}
	for _, raw := range list {
		var e entity
		if err := json.Unmarshal(raw, &e); err == nil { // enumerations have members of another kind
			entities[e.Name] = e
		}
	}
	for _, command := range entities {
		if command.Meta != "command" {
			continue
		}
		seen := map[string]bool{}
		var visit func(name string)
		visit = func(name string) {
			if seen[name] {
				return
			}
			seen[name] = true
			e := entities[name]
			for _, m := range e.Members {
				held := entities[m.Type]
				holds := held.JSON == "string" && held.Meta == "builtin" || held.JSON == "value" || held.Meta == "alternate"
				if holds && secretNames.MatchString(m.Name) {
					found[command.Name+" "+m.Name] = true
				}
				visit(m.Type)
			}
			for _, v := range e.Variants {
				visit(v.Type)
			}
			if e.Element != "" {
				visit(e.Element)
			}
		}
		visit(command.Arg)
	}
}
