package bridge_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/godbus/dbus/v5"
)

// imagesPolicy lets helpers open images below /srv and do nothing else, by the pattern that docs/policy.md gives.
const imagesPolicy = `
@id("images") permit (principal in Role::"helper", action == Action::"blockdev-add", resource) when {
  ["node-name", "driver", "file", "file.driver", "file.filename"].containsAll(context.argumentNames) &&
  context.arguments.driver == "raw" &&
  context.arguments.file.driver == "file" &&
  context.arguments.file.filename like "/srv/*" &&
  !(context.arguments.file.filename like "*/../*") &&
  !(context.arguments.file.filename like "*/..")
};`

type dict = map[string]dbus.Variant

func variants(pairs ...any) dict {
	d := dict{}
	for i := 0; i < len(pairs); i += 2 {
		d[pairs[i].(string)] = dbus.MakeVariant(pairs[i+1])
	}
	return d
}

func image(filename string) dict {
	return variants("node-name", "n1", "driver", "raw", "file", variants("driver", "file", "filename", filename))
}

// TestArguments has a helper give arguments that the policy names, others, and what only looks like them.
func TestArguments(t *testing.T) {
	m := newMachine(t, nil)
	w := newWorld(t, m.dial)
	w.cedar = []string{imagesPolicy}
	w.join()
	w.run()
	c := w.as(helper)
	with := func(d dict, name string, value any) dict {
		d[name] = dbus.MakeVariant(value)
		return d
	}
	for name, arguments := range map[string]dict{
		"none":                       {},
		"elsewhere":                  image("/etc/shadow"),
		"above":                      image("/srv/../etc/shadow"),
		"above at the end":           image("/srv/.."),
		"json: filename":             image(`json:{"driver":"file","filename":"/srv/x"}`),
		"json: behind the directory": with(image("/srv/x"), "file", `json:{"driver":"file","filename":"/srv/x"}`),
		"dotted key":                 variants("node-name", "n1", "driver", "raw", "file.driver", "file", "file.filename", "/srv/x"),
		"dotted key besides":         with(image("/srv/x"), "file.filename", "/etc/shadow"),
		"another case":               with(image("/srv/x"), "File", variants("driver", "file", "filename", "/etc/shadow")),
		"another dash":               with(image("/srv/x"), "node_name", "n2"),
		"a node's name for a file":   with(image("/srv/x"), "file", "n2"),
		"more in the file":           with(image("/srv/x"), "file", variants("driver", "file", "filename", "/srv/x", "aio", "native")),
		"more":                       with(image("/srv/x"), "backing", "n2"),
		"null":                       with(image("/srv/x"), "file", dbus.Signature{}),
		"a double":                   with(image("/srv/x"), "driver", 1.5),
	} {
		_, byCall := c.call(qmpPath, call, "blockdev-add", arguments)
		_, typed := c.call(qmpPath, "org.qemu.VM1.QMP.BlockdevAdd", arguments)
		for way, err := range map[string]error{"Call": byCall, "BlockdevAdd": typed} {
			if errorName(err) != dbusError+"AccessDenied" {
				t.Errorf("%s: %s = %v, want AccessDenied", name, way, err)
			}
		}
	}
	for name, test := range map[string]struct{ text, want string }{
		"a name twice":      {`{"driver":"raw","driver":"qcow2"}`, "InvalidArgs"},
		"a name twice, \\u": {`{"driver":"raw","dr\u0069ver":"qcow2"}`, "InvalidArgs"},
		"dotted key":        {`{"node-name":"n1","driver":"raw","file.driver":"file","file.filename":"/srv/x"}`, "AccessDenied"},
		"escapes":           {`{"node-name":"n1","driver":"raw","file":{"driver":"file","filename":"\/srv\/..\/etc"}}`, "AccessDenied"},
		"more":              {`{"node-name":"n1","driver":"raw","file":{"driver":"file","filename":"/srv/x"},"x":null}`, "AccessDenied"},
	} {
		if _, err := c.call(qmpPath, callJSON, "blockdev-add", test.text); errorName(err) != dbusError+test.want {
			t.Errorf("%s: CallJson = %v, want %s", name, err, test.want)
		}
	}
	if got := m.commands(); got != nil {
		t.Fatalf("QEMU was told %q, want nothing", got)
	}

	const text = `{"driver":"raw","file":{"driver":"file","filename":"/srv/x"},"node-name":"n1"}`
	_, byCall := c.call(qmpPath, call, "blockdev-add", image("/srv/x"))
	_, byJSON := c.call(qmpPath, callJSON, "blockdev-add", text)
	_, typed := c.call(qmpPath, "org.qemu.VM1.QMP.BlockdevAdd", image("/srv/x"))
	for way, err := range map[string]error{"Call": byCall, "CallJson": byJSON, "BlockdevAdd": typed} {
		if err != nil {
			t.Errorf("%s = %v, want success", way, err)
		}
	}
	told := m.commands()
	for _, command := range told {
		if !sameJSON(t, strings.TrimPrefix(command, "blockdev-add "), text) {
			t.Errorf("QEMU was told %s", command)
		}
	}
	if len(told) != 3 {
		t.Errorf("QEMU was told %d commands, want 3", len(told))
	}
}

// TestMayExecute has buttons greyed out: what depends on arguments may be executed.
func TestMayExecute(t *testing.T) {
	m := newMachine(t, nil)
	w := newWorld(t, m.dial)
	w.cedar = []string{imagesPolicy + `
		@id("never") forbid (principal in Role::"viewer", action, resource) when { context.arguments has device };`}
	w.join()
	w.run()
	for _, test := range []struct {
		who     string
		c       *caller
		command string
		want    bool
	}{
		{"viewer", w.as(viewer), "blockdev-add", false},
		{"viewer", w.as(viewer), "query-name", true},
		{"helper", w.as(helper), "stop", false},
		{"helper", w.as(helper), "blockdev-add", true},
	} {
		if got, err := test.c.call(vmPath, busName+".CanExecute", test.command); got != test.want {
			t.Errorf("%s: CanExecute(%q) = %v, %v, want %v", test.who, test.command, got, err, test.want)
		}
	}
	for name, want := range map[string]string{
		"":           "there is no command ; a command's name is like query-status",
		"Pause":      "there is no command Pause: did you mean stop?",
		"QueryName":  "there is no command QueryName: did you mean query-name?",
		"CanExecute": "there is no command CanExecute; a command's name is like query-status",
		"query name": "there is no command query name: did you mean query-name?",
		"query-nam":  "there is no command query-nam: did you mean query-name?",
		"of-another": "there is no command of-another; a command's name is like query-status",
	} {
		if got, err := w.as(helper).call(vmPath, busName+".CanExecute", name); errorName(err) != dbusError+"InvalidArgs" || err.Error() != want {
			t.Errorf("CanExecute(%q) = %v, %v, want %s", name, got, err, want)
		}
	}
	if got, err := w.as(helper).call(vmPath, busName+".CanExecute", "custom"); got != false {
		t.Errorf("CanExecute(custom), which is this QEMU's alone, = %v, %v", got, err)
	}
	_, err := w.as(helper).call(vmPath, busName+".CanExecute", "device_add")
	if want := "this QEMU has no command device_add"; errorName(err) != dbusError+"NotSupported" || err.Error() != want {
		t.Errorf("CanExecute(device_add) = %v, want NotSupported: %s", err, want)
	}
	const denied = "uid 8 may not do introspect (class read): no grant or policy permits it"
	for _, name := range []string{"query-name", "device_add", "QueryName", "of-another"} {
		if _, err := w.as(stranger).call(vmPath, busName+".CanExecute", name); errorName(err) != dbusError+"AccessDenied" || err.Error() != denied {
			t.Errorf("a stranger's CanExecute(%q) = %v, want %s", name, err, denied)
		}
	}
	got, err := w.as(helper).call(vmPath, busName+".ListCommands")
	if list, ok := got.([]string); !ok || !slices.Equal(list, []string{"blockdev-add", "query-name"}) {
		t.Errorf("the helper's ListCommands = %v, %v", got, err)
	}
}
