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

// benchTable is that of the QEMU whose replies [replies] are.
func benchTable(t testing.TB) *schema.Table {
	t.Helper()
	return parseTable(t, string(readFile(t, "testdata/schemas/qmp-schema-10.0.2-x86_64.json")))
}

func BenchmarkEncodeResult(b *testing.B) {
	table := benchTable(b)
	for _, r := range replies(b) {
		command := table.Command(r.command)
		b.Run(r.command, func(b *testing.B) {
			var e wire.Encoder
			b.SetBytes(int64(len(r.json)))
			b.ReportAllocs()
			for b.Loop() {
				e.Reset()
				if m, err := command.EncodeResult(&e, r.json); err != nil || m.Count > 0 {
					b.Fatal(m, err)
				}
			}
		})
	}
}

// What a caller sends is benchmarked with what would be the arguments of a command
// that takes such a reply.
func BenchmarkAppendArguments(b *testing.B) {
	table := mirrorTable(b)
	for _, r := range replies(b) {
		mirror := table.Command("mirror-" + r.command)
		b.Run(r.command, func(b *testing.B) {
			var e wire.Encoder
			e.Reset()
			if m, err := mirror.EncodeResult(&e, r.json); err != nil || m.Count > 0 {
				b.Fatal(m, err)
			}
			var dst []byte
			var err error
			b.SetBytes(int64(len(r.json)))
			b.ReportAllocs()
			for b.Loop() {
				d := wire.NewDecoder(binary.LittleEndian, mirror.OutSignature(), e.Bytes(), 0)
				if dst, err = mirror.AppendArguments(dst[:0], &d, mirror.OutSignature(), nil); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// Small calls, typed and by Call without a schema.
func BenchmarkCall(b *testing.B) {
	table := benchTable(b)
	for _, in := range []string{
		"block_resize xa{sv} 134217728 1 node-name s disk0",
		"blockdev-add sa{sv} qcow2 2 node-name s disk1 file a{sv} 2 driver s file filename s /x.qcow2",
		"block_resize a{sv} 2 node-name s disk0 size x 134217728",
	} {
		words := splitShell(in)
		command, signature := table.Command(words[0]), words[1]
		var e wire.Encoder
		e.Reset()
		encodeList(b, &e, signature, words[2:])
		var dst []byte
		var err error
		b.Run(words[0]+"-"+signature, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				d := wire.NewDecoder(binary.LittleEndian, signature, e.Bytes(), 0)
				if dst, err = command.AppendArguments(dst[:0], &d, signature, nil); err != nil {
					b.Fatal(err)
				}
			}
		})
		if signature != "a{sv}" {
			continue
		}
		b.Run("untyped-"+signature, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				d := wire.NewDecoder(binary.LittleEndian, signature, e.Bytes(), 0)
				if dst, err = schema.AppendObject(dst[:0], &d, words[0]); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkParseTable(b *testing.B) {
	json := compactSchema(b, "qmp-schema-10.0.2-x86_64.json")
	b.SetBytes(int64(len(json)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := schema.ParseTable(json); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAppendXML(b *testing.B) {
	table := benchTable(b)
	node := schema.Node{Interfaces: []schema.Interface{
		{Name: "org.qemu.VM1.QMP", Methods: table.Methods()},
		{Name: "org.qemu.VM1.QMP.Events", Signals: table.Signals()},
	}}
	var dst []byte
	b.ReportAllocs()
	for b.Loop() {
		dst = schema.AppendXML(dst[:0], node)
	}
	b.SetBytes(int64(len(dst)))
}
