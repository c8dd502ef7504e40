package schema_test

import (
	"encoding/xml"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/godbus/dbus/v5/introspect"

	"qmp-dbus-bridge/schema"
	"qmp-dbus-bridge/schema/schematest"
	"qmp-dbus-bridge/schema/wire"
)

// The whole interface of each captured QEMU: valid, as it was, and read back by
// another implementation.
func TestIntrospection(t *testing.T) {
	for _, file := range schemaFiles(t) {
		table := parseTable(t, string(readFile(t, file)))
		methods := schema.Interface{Name: "org.qemu.VM1.QMP", Methods: table.Methods()}
		events := schema.Interface{Name: "org.qemu.VM1.QMP.Events", Signals: table.Signals()}
		for _, i := range []schema.Interface{methods, events} {
			if err := schematest.Check(i); err != nil {
				t.Errorf("%s: %v", file, err)
			}
		}
		text := schema.AppendXML(nil, schema.Node{Interfaces: []schema.Interface{methods, events}})
		name := strings.TrimPrefix(filepath.Base(file), "qmp-schema-")
		golden(t, filepath.Join("introspection", strings.TrimSuffix(name, ".json")+".xml"), text)
		checkReadsBack(t, file, text, table)
	}
}

// checkReadsBack checks that each method is there as the table dispatches it, with
// a name for each argument.
func checkReadsBack(t *testing.T, file string, text []byte, table *schema.Table) {
	t.Helper()
	var node introspect.Node
	if err := xml.Unmarshal(text, &node); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	for _, m := range node.Interfaces[0].Methods {
		command := table.Method(m.Name)
		var in, out string
		names := make(map[string]bool)
		for _, a := range m.Args {
			if a.Direction == "in" {
				in += a.Type
			} else {
				out += a.Type
			}
			if a.Name == "" || names[a.Name] {
				t.Errorf("%s: %s: two arguments %q", file, m.Name, a.Name)
			}
			names[a.Name] = true
		}
		if command == nil || in != command.InSignature() || out != command.OutSignature() || command.Name() != m.Annotations[0].Value {
			t.Errorf("%s: %s(%s) -> %s dispatches %v", file, m.Name, in, out, command)
		}
	}
}

// A command has one signature, whichever QEMU it is, and D-Bus allows it.
func TestSignaturesAreStable(t *testing.T) {
	signatures := make(map[string]string)
	for _, file := range schemaFiles(t) {
		table := parseTable(t, string(readFile(t, file)))
		for _, name := range table.Commands() {
			c := table.Command(name)
			signature := c.InSignature() + " -> " + c.OutSignature()
			if err := wire.ValidateSignature(c.InSignature() + c.OutSignature()); err != nil {
				t.Errorf("%s: %s: %v", file, name, err)
			}
			if other, known := signatures[name]; known && other != signature {
				t.Errorf("%s: %s is %s, elsewhere %s", file, name, signature, other)
			}
			signatures[name] = signature
		}
	}
	for name, want := range map[string]string{
		"query-block": "a{sv} -> aa{sv}", "migrate": "a{sv} -> ", "migrate-incoming": "a{sv} -> ",
		"query-machines": "a{sv} -> aa{sv}", "query-dirty-rate": "a{sv} -> a{sv}", "trace-event-get-state": "sa{sv} -> aa{sv}",
		"block_resize": "xa{sv} -> ", "netdev_add": "ssa{sv} -> ", "qom-get": "ss -> v", "qom-set": "ssv -> ",
		"query-tpm-models": " -> as", "human-monitor-command": "sa{sv} -> s", "block-dirty-bitmap-merge": "ssav -> ",
		"device_add": "sa{sv} -> ", "blockdev-reopen": "aa{sv} -> ", "nbd-server-start": "a{sv}a{sv} -> ", "stop": " -> ",
	} {
		if signatures[name] != want {
			t.Errorf("%s is %s, want %s", name, signatures[name], want)
		}
	}
}

func TestMethods(t *testing.T) {
	methods := benchTable(t).Methods()
	find := func(name string) schema.Method {
		i := slices.IndexFunc(methods, func(m schema.Method) bool { return m.Name == name })
		if i < 0 {
			t.Fatalf("no method %s", name)
		}
		return methods[i]
	}
	for name, want := range map[string]string{
		"BlockResize":           "size options; command block_resize; optional device node-name",
		"XBlockdevAmend":        "job_id node_name options other_options; command x-blockdev-amend; unstable; optional force",
		"QueryMigrationthreads": "> result; command query-migrationthreads; deprecated",
		"Stop":                  "; command stop",
		"QueryStatus":           "> result; command query-status",
		"Migrate":               "options; command migrate; optional uri channels detach resume",
	} {
		if got := summary(find(name)); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
	for _, name := range []string{"QmpCapabilities", "Getfd", "AddFd"} {
		if slices.ContainsFunc(methods, func(m schema.Method) bool { return m.Name == name }) {
			t.Errorf("%s is a typed method", name)
		}
	}
}

// summary is the names of a method's arguments and results, and its annotations.
func summary(m schema.Method) string {
	var words []string
	for _, a := range m.In {
		words = append(words, a.Name)
	}
	for _, a := range m.Out {
		words = append(words, ">", a.Name)
	}
	var s strings.Builder
	s.WriteString(strings.Join(words, " "))
	for _, a := range m.Annotations {
		switch a.Name {
		case schema.AnnotationCommand:
			s.WriteString("; command " + a.Value)
		case schema.AnnotationDeprecated:
			s.WriteString("; deprecated")
		case schema.AnnotationUnstable:
			s.WriteString("; unstable")
		case schema.AnnotationOptional:
			s.WriteString("; optional " + a.Value)
		}
	}
	return s.String()
}
