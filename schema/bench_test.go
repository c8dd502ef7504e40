package schema_test

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"

	"github.com/go-json-experiment/json/jsontext"

	"qmp-dbus-bridge/schema"
	"qmp-dbus-bridge/schema/wire"
)

const statusReply = `{"status": "running", "singlestep": false, "running": true}`

// compactSchema returns a captured schema as QEMU sends it, on one line.
func compactSchema(t testing.TB, name string) []byte {
	t.Helper()
	v := jsontext.Value(readFile(t, filepath.Join("testdata/schemas", name)))
	if err := v.Compact(); err != nil {
		t.Fatal(err)
	}
	return v
}

func readFile(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// inputs are the captured schemas, which are also the largest common reply, and
// the smallest.
func inputs(b *testing.B) map[string][]byte {
	return map[string][]byte{
		"schema-7.2":  compactSchema(b, "qmp-schema-7.2.22-x86_64.json"),
		"schema-10.0": compactSchema(b, "qmp-schema-10.0.2-x86_64.json"),
		"status":      []byte(statusReply),
	}
}

func BenchmarkEncodeVariant(b *testing.B) {
	for name, json := range inputs(b) {
		b.Run(name, func(b *testing.B) {
			var e wire.Encoder
			b.SetBytes(int64(len(json)))
			b.ReportAllocs()
			for b.Loop() {
				e.Reset()
				if err := schema.EncodeVariant(&e, json); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkAppendValue(b *testing.B) {
	for name, json := range inputs(b) {
		b.Run(name, func(b *testing.B) {
			var e wire.Encoder
			e.Reset()
			if err := schema.EncodeVariant(&e, json); err != nil {
				b.Fatal(err)
			}
			var dst []byte
			var err error
			b.SetBytes(int64(len(json)))
			b.ReportAllocs()
			for b.Loop() {
				d := wire.NewDecoder(binary.LittleEndian, "v", e.Bytes(), 0)
				if dst, err = schema.AppendValue(dst[:0], &d, "x"); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkCanonical(b *testing.B) {
	for name, json := range inputs(b) {
		b.Run(name, func(b *testing.B) {
			json = append(append([]byte(`{"a":`), json...), '}')
			var dst []byte
			var err error
			b.SetBytes(int64(len(json)))
			b.ReportAllocs()
			for b.Loop() {
				if dst, err = schema.Canonical(dst[:0], json, "x"); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkParseCatalogue(b *testing.B) {
	json := compactSchema(b, "qmp-schema-10.0.2-x86_64.json")
	b.SetBytes(int64(len(json)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := schema.ParseCatalogue(json); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAppendXML(b *testing.B) {
	c, err := schema.ParseCatalogue(readFile(b, "testdata/schemas/qmp-schema-10.0.2-x86_64.json"))
	if err != nil {
		b.Fatal(err)
	}
	node := schema.Node{Interfaces: []schema.Interface{{Name: "org.qemu.VM1.QMP.Events", Signals: c.Signals()}}}
	var dst []byte
	b.ReportAllocs()
	for b.Loop() {
		dst = schema.AppendXML(dst[:0], node)
	}
	b.SetBytes(int64(len(dst)))
}
