package schema_test

import (
	"encoding/xml"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/godbus/dbus/v5/introspect"
	"github.com/google/go-cmp/cmp"

	"qmp-dbus-bridge/schema"
	"qmp-dbus-bridge/schema/schematest"
)

var update = flag.Bool("update", false, "write the golden files anew")

// golden compares got with a file of testdata.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(string(readFile(t, path)), string(got)); diff != "" {
		t.Errorf("%s (-want +got):\n%s", name, diff)
	}
}

// example uses all that a table can say.
var example = schema.Interface{
	Name: "org.example.VM1",
	Methods: []schema.Method{
		{Name: "Pause"},
		{
			Name: "Call",
			In: []schema.Arg{
				{Name: "command", Type: "s"},
				{Name: "arguments", Type: "a{sv}", Annotations: []schema.Annotation{{Name: schema.AnnotationOptional, Value: "id"}}},
			},
			Out:         []schema.Arg{{Name: "result", Type: "v"}},
			Annotations: []schema.Annotation{{Name: schema.AnnotationCommand, Value: "x-<\"call\"> & 'more'"}},
		},
	},
	Signals: []schema.Signal{
		{Name: "Gone"},
		{
			Name:        "Changed",
			Args:        []schema.Arg{{Name: "what", Type: "as"}, {Type: "(xt)"}},
			Annotations: []schema.Annotation{{Name: schema.AnnotationDeprecated, Value: "true"}},
		},
	},
	Properties: []schema.Property{
		{Name: "Status", Type: "s"},
		{Name: "Version", Type: "s", EmitsChanged: schema.Const},
		{Name: "Clock", Type: "t", EmitsChanged: schema.Never},
		{Name: "Speed", Type: "x", Access: schema.ReadWrite, EmitsChanged: schema.Invalidates},
		{Name: "Secret", Type: "s", Access: schema.Write, Annotations: []schema.Annotation{{Name: schema.AnnotationUnstable, Value: "true"}}},
	},
	Annotations: []schema.Annotation{{Name: "org.example.Note", Value: "a\tb\nc\rd"}},
}

func TestAppendXML(t *testing.T) {
	if err := schematest.Check(example); err != nil {
		t.Error(err)
	}
	node := schema.Node{Interfaces: []schema.Interface{example, {Name: "org.example.Empty"}}, Children: []string{"QMP", "block"}}
	golden(t, "introspection.xml", schema.AppendXML(nil, node))
	golden(t, "introspection-empty.xml", schema.AppendXML(nil, schema.Node{}))
}

func TestAppendXMLEvents(t *testing.T) {
	c := parseTable(t, string(readFile(t, "testdata/schemas/qmp-schema-10.0.2-x86_64.json")))
	events := schema.Interface{Name: "org.qemu.VM1.QMP.Events", Signals: c.Signals()}
	if err := schematest.Check(events); err != nil {
		t.Error(err)
	}
	golden(t, "events.xml", schema.AppendXML(nil, schema.Node{Interfaces: []schema.Interface{events}}))
}

// Another implementation reads back what the table says.
func TestAppendXMLReadsBack(t *testing.T) {
	var node introspect.Node
	text := schema.AppendXML(nil, schema.Node{Interfaces: []schema.Interface{example}, Children: []string{"a&b"}})
	if err := xml.Unmarshal(text, &node); err != nil {
		t.Fatal(err)
	}
	got := node.Interfaces[0]
	if len(got.Methods) != 2 || len(got.Signals) != 2 || len(got.Properties) != 5 || node.Children[0].Name != "a&b" {
		t.Fatalf("read back: %+v", node)
	}
	call := got.Methods[1]
	if call.Annotations[0].Value != "x-<\"call\"> & 'more'" || call.Args[2].Direction != "out" {
		t.Errorf("read back: %+v", call)
	}
	if got.Annotations[0].Value != "a\tb\nc\rd" {
		t.Errorf("read back: %+v", got.Annotations)
	}
}

// Whatever a name holds, the XML is well-formed and keeps what XML can hold.
func TestAppendXMLEscapes(t *testing.T) {
	for in, want := range map[string]string{
		"\x00\x1f\x7f": "\ufffd\ufffd\x7f",
		"\xff\xfe":     "\ufffd\ufffd",
		"\ufffe\uffff": "\ufffd\ufffd",
		"]]>&lt;é😀":    "]]>&lt;é😀",
	} {
		var node introspect.Node
		if err := xml.Unmarshal(schema.AppendXML(nil, schema.Node{Children: []string{in}}), &node); err != nil {
			t.Errorf("%q: %v", in, err)
		} else if got := node.Children[0].Name; got != want {
			t.Errorf("%q read back: %q, want %q", in, got, want)
		}
	}
}

func TestInSignature(t *testing.T) {
	if got := example.Methods[1].InSignature(); got != "sa{sv}" {
		t.Errorf("signature %q", got)
	}
}
