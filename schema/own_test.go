package schema_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"qmp-dbus-bridge/schema"
	"qmp-dbus-bridge/schema/wire"
)

// TestAppendMethod has methods whose arguments are some of a command's, which give others by themselves.
func TestAppendMethod(t *testing.T) {
	table := benchTable(t)
	id := schema.Own{Name: "id", Value: "cd0"}
	size, filename := schema.Arg{Name: "size", Type: "t"}, schema.Arg{Name: "filename", Type: "s"}
	options := schema.Arg{Name: "options", Type: "a{sv}"}
	for _, test := range []struct {
		in   []schema.Arg
		own  []schema.Own
		call string
		want string
	}{
		{nil, []schema.Own{id}, "eject -", `{"id":"cd0"}`},
		{[]schema.Arg{{Name: "force", Type: "b"}}, []schema.Own{id}, "eject b true", `{"id":"cd0","force":true}`},
		{nil, []schema.Own{{Name: "force", Value: true}}, "eject -", `{"force":true}`},
		{[]schema.Arg{size}, []schema.Own{{Name: "node-name", Value: "a\"ä"}}, "block_resize t 7", `{"node-name":"a\"ä","size":7}`},
		{
			[]schema.Arg{filename, options},
			[]schema.Own{id},
			"blockdev-change-medium sa{sv} /x 2 format s raw force b true",
			`{"id":"cd0","filename":"/x","format":"raw","force":true}`,
		},
		{
			[]schema.Arg{options},
			[]schema.Own{id, {Name: "size", Value: 0, Default: true}},
			"block_resize a{sv} 0", "block_resize.id: not supported by this QEMU",
		},
		{[]schema.Arg{options}, []schema.Own{{Name: "size", Value: 0, Default: true}}, "block_resize a{sv} 0", `{"size":0}`},
		{[]schema.Arg{options}, []schema.Own{{Name: "size", Value: 0, Default: true}}, "block_resize a{sv} 1 size x 5", `{"size":5}`},

		{
			[]schema.Arg{filename, options},
			[]schema.Own{id},
			"blockdev-change-medium sa{sv} /x 1 id s other",
			"blockdev-change-medium.id: not for the caller to give: it follows from the object",
		},
		{
			[]schema.Arg{filename, options},
			[]schema.Own{id},
			"blockdev-change-medium sa{sv} /x 1 filename s other",
			"blockdev-change-medium.filename: given as an argument and in the dictionary",
		},
		{
			[]schema.Arg{filename, options},
			[]schema.Own{id},
			"blockdev-change-medium sa{sv} /x 1 read-only-mode s never",
			"blockdev-change-medium.read-only-mode: 'never' is not one of retain, read-only, read-write",
		},
		{
			[]schema.Arg{filename, options},
			[]schema.Own{id},
			"blockdev-change-medium sa{sv} /x 1 force s yes",
			"blockdev-change-medium.force: expected bool, got string",
		},
		{
			[]schema.Arg{filename, options},
			[]schema.Own{id},
			"blockdev-change-medium sa{sv} \ufffe 0",
			"blockdev-change-medium.filename: the string has the noncharacter U+FFFE, which QEMU refuses",
		},
		{nil, []schema.Own{id}, "block_resize -", "block_resize.id: not supported by this QEMU"},
		{nil, []schema.Own{{Name: "node-name", Value: "n"}}, "block_resize -", "block_resize.size: missing"},
		{[]schema.Arg{filename}, nil, "block_resize s x", "block_resize.filename: not supported by this QEMU"},
		{nil, []schema.Own{{Name: "id", Value: "\ufdd0"}}, "eject -", "eject.id: the string has the noncharacter U+FDD0, which QEMU refuses"},
		{nil, []schema.Own{{Name: "id", Value: "\xff"}}, "eject -", "eject.id: the string is not UTF-8"},
		{nil, []schema.Own{{Name: "id", Value: 1.5}}, "eject -", "eject.id: float64 is no type of a member of the method's own"},
	} {
		words := splitShell(test.call)
		signature := strings.TrimPrefix(words[1], "-")
		d := body(t, signature, func(e *wire.Encoder) { encodeList(t, e, signature, words[2:]) })
		got, err := table.Command(words[0]).AppendMethod([]byte("before"), d, test.in, nil, test.own...)
		if err != nil {
			if string(got) != "before" {
				t.Errorf("AppendMethod(%s) left %s", test.call, got)
			}
			got = append(got, err.Error()...)
		}
		if string(got) != "before"+test.want {
			t.Errorf("AppendMethod(%s) = %s, want %s", test.call, got, test.want)
		}
		if wrong := new(schema.ArgumentError); err != nil && !errors.As(err, &wrong) && !errors.Is(err, schema.ErrNotSupported) {
			t.Errorf("AppendMethod(%s): %v is neither the caller's fault nor QEMU's", test.call, err)
		}
	}
}

// TestAppendMethodOption has a method with an option of its own: it is none of the command's arguments.
func TestAppendMethodOption(t *testing.T) {
	table := benchTable(t)
	in := []schema.Arg{{Name: "filename", Type: "s"}, {Name: "options", Type: "a{sv}"}}
	for _, test := range []struct{ options, want, option string }{
		{"0", `{"filename":"/x"}`, ""},
		{"1 check s refuse", `{"filename":"/x"}`, "refuse"},
		{"2 check s warn force b true", `{"filename":"/x","force":true}`, "warn"},
		{"2 force b true check s warn", `{"filename":"/x","force":true}`, "warn"},
		{"1 check v s warn", `{"filename":"/x"}`, "warn"},
		{"1 check s never", "blockdev-change-medium.check: 'never' is not one of refuse, warn", ""},
		{"1 check b true", "blockdev-change-medium.check: expected string, got bool", ""},
		{"2 check s warn check s refuse", "blockdev-change-medium.check: given twice", "warn"},
		{"1 checks s warn", "blockdev-change-medium.checks: unknown member; there are device, id, format, force, read-only-mode, check", ""},
	} {
		option := ""
		words := strings.Fields("/x " + test.options)
		d := body(t, "sa{sv}", func(e *wire.Encoder) { encodeList(t, e, "sa{sv}", words) })
		got, err := table.Command("blockdev-change-medium").AppendMethod(nil, d, in, nil, schema.Own{Name: "check", Option: &option, Words: []string{"refuse", "warn"}})
		if err != nil {
			got = append(got, err.Error()...)
		}
		if !strings.HasPrefix(string(got), test.want) || option != test.option {
			t.Errorf("AppendMethod with %s = %s and the option %q, want %s and %q", test.options, got, option, test.want, test.option)
		}
	}
	option := ""
	d := body(t, "a{sv}", func(e *wire.Encoder) { encodeList(t, e, "a{sv}", strings.Fields("1 file a{sv} 1 check s warn")) })
	_, err := table.Command("blockdev-add").AppendMethod(nil, d, in[1:], nil, schema.Own{Name: "check", Option: &option, Words: []string{"warn"}})
	if err == nil || option != "" {
		t.Errorf("an option within a member: %q, %v", option, err)
	}
}

// TestEncodeElement has elements of a list that are what the schema says, and others.
func TestEncodeElement(t *testing.T) {
	for _, test := range []struct{ typ, json, want, misfit string }{
		{"[object{a:str}]", `{"b":1,"a":"x"}`, `{"a":{"type":"s","data":"x"},"b":{"type":"x","data":1}}`, "cmd: unknown member"},
		{"[object{a:[int]}]", `{"a":[]}`, `{"a":{"type":"ax","data":[]}}`, ""},
		{"[object{a:str}]", `[]`, "", "cmd: expected object, got array"},
		{"object{a:str}", `{"a":"x"}`, "", ""},
	} {
		command := tableOf(t, "cmd", "object{}", test.typ).Command("cmd")
		var m schema.Misfits
		var err error
		d := body(t, "a{sv}", func(e *wire.Encoder) { m, err = command.EncodeElement(e, []byte(test.json)) })
		if m.First != test.misfit || errors.Is(err, schema.ErrMisfit) != (test.want == "") {
			t.Errorf("EncodeElement(%s) of %s: %v, %v, want %q", test.json, test.typ, m, err, test.misfit)
		}
		if test.want == "" {
			continue
		}
		if diff := cmp.Diff(unmarshal[any](t, []byte(test.want)), decodeTyped(d)); diff != "" {
			t.Errorf("EncodeElement(%s) of %s (-want +got):\n%s", test.json, test.typ, diff)
		}
	}
}
