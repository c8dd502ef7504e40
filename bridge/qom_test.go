package bridge_test

import (
	"encoding/json"
	"fmt"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/godbus/dbus/v5"
	"github.com/google/go-cmp/cmp"

	"qmp-dbus-bridge/bridge/inventory"
	"qmp-dbus-bridge/e2e/rig"
	"qmp-dbus-bridge/qmp/qmptest"
)

const (
	qomPath = dbus.ObjectPath("/org/qemu/VM1/QOM")
	qomIf   = "org.qemu.VM1.QOM"
	peerIf  = "org.freedesktop.DBus.Peer"
	look    = "org.freedesktop.DBus.Introspectable.Introspect"
)

// qomProperty is a property as qom-list tells it.
type qomProperty struct {
	Name string `json:"name"`
	Type string `json:"type"`
}

// qom are the properties of objects, by path.
type qom map[string][]qomProperty

// grow puts an object in, and all above it.
func (q qom) grow(place string) qom {
	if q[place] != nil {
		return q
	}
	q[place] = []qomProperty{{"type", "string"}}
	if place != "/" {
		last := strings.LastIndex(place, "/")
		above := place[:max(last, 1)]
		q.grow(above)
		q[above] = append(q[above], qomProperty{place[last+1:], "child<thing>"})
	}
	return q
}

// answer answers as QEMU does, but for links.
func (q qom) answer(_ *qmptest.QEMU, r *qmptest.Request) {
	var arguments struct {
		Path, Property string
		Value          json.RawMessage
	}
	if err := json.Unmarshal(r.Arguments, &arguments); err != nil {
		panic(err)
	}
	properties, found := q[arguments.Path]
	known := slices.ContainsFunc(properties, func(p qomProperty) bool { return p.Name == arguments.Property })
	switch {
	case !found:
		r.Fail("DeviceNotFound", "Device '"+arguments.Path+"' not found")
	case r.Name == "qom-list":
		text, err := json.Marshal(properties)
		if err != nil {
			panic(err)
		}
		r.Return(string(text))
	case !known:
		r.Fail("GenericError", "Property 'thing."+arguments.Property+"' not found")
	case r.Name == "qom-get":
		r.Return(`"the ` + arguments.Property + `"`)
	default:
		r.Return(`{}`)
	}
}

// newQOMMachine is a machine with such a tree, which no longer changes then, and qom-list among its commands.
func newQOMMachine(tb testing.TB, q qom) *machine {
	m := newMachine(tb, map[string]string{
		"query-qmp-schema": schemaOf(tb, []string{"qom-list", "qom-get", "qom-set"}, nil),
	})
	q.grow("/machine/peripheral") // the bridge asks for it
	for _, command := range []string{"qom-list", "qom-get", "qom-set"} {
		m.script(command, q.answer)
	}
	return m
}

// onBus is where the object at a path of QEMU's is.
func onBus(place string) dbus.ObjectPath {
	var at strings.Builder
	at.WriteString(string(qomPath))
	for name := range strings.SplitSeq(strings.Trim(place, "/"), "/") {
		if name != "" {
			at.WriteString("/" + inventory.Element(name))
		}
	}
	return dbus.ObjectPath(at.String())
}

// walk introspects the object at a path and all below, and returns the paths in the order in which it came to them.
func (c *caller) walk(at dbus.ObjectPath) (found []dbus.ObjectPath) {
	c.tb.Helper()
	found = append(found, at)
	for _, child := range c.introspect(at).Children {
		found = append(found, c.walk(dbus.ObjectPath(path.Join(string(at), child.Name)))...)
	}
	return found
}

// oddNames are what QEMU accepts as the id of a character device, but for those with a slash (7.2).
var oddNames = []string{
	"pci.0", "device[0]", "ä", "\u2028", " ", "-", "_", ".", "..", "1", "a\\x2fb", "\x01\x7f", `"`, "\uFFFD", "{}<&>", "\U0001F600",
	strings.Repeat("x", inventory.MaxName),
}

// TestQOMTree walks a tree with odd names, and links that make circles: it finds every object, by one command each.
func TestQOMTree(t *testing.T) {
	tree := qom{}
	tree.grow("/machine/unattached/device[0]/a")
	for _, name := range oddNames {
		tree.grow("/chardevs/" + name)
	}
	var want []dbus.ObjectPath
	for place := range tree.grow("/machine/peripheral") {
		want = append(want, onBus(place))
	}
	at := "/machine/unattached/device[0]"
	tree[at] = append(tree[at], qomProperty{"parent_bus", "link<bus>"}, qomProperty{"up", "link<thing>"})
	tree["/chardevs"] = append(tree["/chardevs"], qomProperty{"a/b", "child<thing>"}, qomProperty{"", "child<thing>"})
	m := newQOMMachine(t, tree)
	c := serve(t, m).as(admin)
	m.commands()
	if children := c.introspect(vmPath).Children; children[len(children)-1].Name != "QOM" {
		t.Errorf("below the VM: %v, want QOM as the last", children)
	}
	if got := m.commands(); got != nil {
		t.Errorf("looking at the VM was %q", got)
	}
	found := c.walk(qomPath)
	slices.Sort(found)
	slices.Sort(want)
	if diff := cmp.Diff(want, found); diff != "" {
		t.Errorf("objects (-want +got):\n%s", diff)
	}
	commands := m.commands()
	if len(commands) != len(found)-1 { // the machine holds one for the bridge's own
		t.Errorf("%d commands for %d objects: %q", len(commands), len(found), commands)
	}
	for _, command := range commands {
		if !strings.HasPrefix(command, `qom-list {"path":"/`) {
			t.Errorf("walking was %s", command)
		}
	}
	for _, at := range found {
		if v, err := c.call(at, propsIf+".Get", qomIf, "Type"); err != nil || v.(dbus.Variant).Value() != "the type" {
			t.Errorf("Type of %s = %v, %v", at, v, err)
		}
	}
}

// TestQOMCostsOneCommand calls each method: which command it is, and that it is the only one.
func TestQOMCostsOneCommand(t *testing.T) {
	m := newQOMMachine(t, qom{}.grow("/machine/unattached/device[0]/b"))
	c := serve(t, m).as(admin)
	const where = `{"path":"/machine/unattached/device[0]"`
	ofType := `qom-get ` + where + `,"property":"type"}`
	for _, test := range []struct {
		method  string
		args    []any
		want    any
		command string
	}{
		{qomIf + ".List", nil, [][]any{{"b", "child<thing>"}, {"type", "string"}}, "qom-list " + where + "}"},
		{qomIf + ".Get", []any{"type"}, dbus.MakeVariant("the type"), ofType},
		{qomIf + ".Set", []any{"type", dbus.MakeVariant(1.5)}, nil, `qom-set ` + where + `,"property":"type","value":1.5}`},
		{
			qomIf + ".Set",
			[]any{"type", dbus.MakeVariant(map[string]dbus.Variant{`"`: dbus.MakeVariant([]string{"}"})})},
			nil, `qom-set ` + where + `,"property":"type","value":{"\"":["}"]}}`,
		},
		{propsIf + ".Get", []any{qomIf, "Type"}, dbus.MakeVariant("the type"), ofType},
		{propsIf + ".GetAll", []any{qomIf}, map[string]dbus.Variant{"Type": dbus.MakeVariant("the type")}, ofType},
		{propsIf + ".GetAll", []any{peerIf}, map[string]dbus.Variant{}, ofType},
		{peerIf + ".Ping", nil, nil, ""},
	} {
		m.commands()
		got, err := c.call(onBus("/machine/unattached/device[0]"), test.method, test.args...)
		if diff := cmp.Diff(test.want, got, cmp.Comparer(sameVariant)); err != nil || diff != "" {
			t.Errorf("%s%v: %v (-want +got):\n%s", test.method, test.args, err, diff)
		}
		if got := strings.Join(m.commands(), "; "); got != test.command {
			t.Errorf("%s%v was %s, want %s", test.method, test.args, got, test.command)
		}
	}
}

// TestQOMErrors has calls of what is not there, or can't be, and of a QEMU that has gone.
func TestQOMErrors(t *testing.T) {
	tree := qom{}.grow("/machine/x").grow("/chardevs/a/b")
	m := newQOMMachine(t, tree)
	c := serve(t, m).as(admin)
	const unknown = "UnknownObject"
	for _, test := range []struct {
		below, method string
		args          []any
		err           string
		commands      int
	}{
		{"/nosuch", look, nil, unknown, 1},
		{"/nosuch", qomIf + ".List", nil, unknown, 1},
		{"/nosuch", qomIf + ".Get", []any{"type"}, unknown, 1},
		{"/nosuch", qomIf + ".Set", []any{"type", dbus.MakeVariant(1)}, unknown, 1},
		{"/nosuch", propsIf + ".Get", []any{qomIf, "Type"}, unknown, 1},
		{"/nosuch", propsIf + ".GetAll", []any{qomIf}, unknown, 1},
		{"/machine/type", look, nil, unknown, 1},
		{"x", look, nil, unknown, 0},
		{"/_", look, nil, unknown, 0},                 // no name
		{"/machine/_", look, nil, unknown, 0},         // would be an alias
		{"/_2f", look, nil, unknown, 0},               // a slash
		{"/chardevs/a_2fb", look, nil, unknown, 0},    // two names in one
		{"/machine/_78", look, nil, unknown, 0},       // x is not escaped
		{"/machine/a_5B", look, nil, unknown, 0},      // in capitals
		{"/machine/a_", look, nil, unknown, 0},        // the rest is missing
		{"/machine/1", look, nil, unknown, 0},         // a digit at the beginning is escaped
		{"/machine/_00", look, nil, unknown, 0},       // NUL
		{"/machine/_ff", look, nil, unknown, 0},       // no UTF-8
		{"/machine/_ef_bf_bf", look, nil, unknown, 0}, // a noncharacter
		{"/machine/_c3_a4", look, nil, unknown, 1},    // ä, which is not there
		{"/machine", propsIf + ".Get", []any{qomIf, "type"}, "UnknownProperty", 0},
		{"/machine", propsIf + ".Get", []any{busName, "Name"}, "UnknownInterface", 0},
		{"/machine", propsIf + ".GetAll", []any{busName}, "UnknownInterface", 0},
		{"/machine", propsIf + ".Set", []any{qomIf, "Type", dbus.MakeVariant("x")}, "PropertyReadOnly", 0},
		{"/machine", qomIf + ".Get", nil, "InvalidArgs", 0},
		{"/machine", qomIf + ".Get", []any{"\uFFFF"}, "InvalidArgs", 0},
		{"/machine", qomIf + ".Set", []any{"x", "not in a variant"}, "InvalidArgs", 0},
		{"/machine", qomIf + ".Set", []any{"x", dbus.MakeVariant("\uFDD0")}, "InvalidArgs", 0},
		{"/machine", qomIf + ".Set", []any{"x", dbus.MakeVariant(map[int32]string{1: ""})}, "InvalidArgs", 0},
		{"/machine", qomIf + ".Delete", nil, "UnknownMethod", 0},
		{"/machine", busName + ".Pause", nil, "UnknownInterface", 0},
	} {
		m.commands()
		_, err := c.call(qomPath+dbus.ObjectPath(test.below), test.method, test.args...)
		if errorName(err) != dbusError+test.err {
			t.Errorf("%s %s%v = %v, want %s", test.below, test.method, test.args, err, test.err)
		}
		if got := m.commands(); len(got) != test.commands {
			t.Errorf("%s %s%v was %q, want %d", test.below, test.method, test.args, got, test.commands)
		}
	}
	for _, method := range []string{"Get", "Set"} {
		args := []any{"nosuch", dbus.MakeVariant(1)}[:map[string]int{"Get": 1, "Set": 2}[method]]
		if _, err := c.call(qomPath+"/machine", qomIf+"."+method, args...); errorName(err) != ourError+"Qmp.GenericError" {
			t.Errorf("%s of a property that is not there: %v", method, err)
		}
	}
	m.die()
	for _, method := range []string{look, qomIf + ".List"} {
		if _, err := c.call(qomPath, method); errorName(err) != ourError+"Disconnected" {
			t.Errorf("%s without QEMU: %v, want Disconnected", method, err)
		}
	}
	if children := fmt.Sprint(c.introspect(vmPath).Children); strings.Contains(children, "QOM") {
		t.Errorf("below the VM without QEMU: %s", children)
	}
}

// TestQOMDenied has those who may not try all that there is: nothing reaches QEMU, and they can't tell what is there.
func TestQOMDenied(t *testing.T) {
	m := newQOMMachine(t, qom{}.grow("/machine"))
	w := serve(t, m)
	probes := w.as(admin).probes(qomPath)
	for _, p := range w.as(admin).probes(qomPath + "/machine") {
		p.path = qomPath + "/nosuch"
		probes = append(probes, p)
	}
	m.commands()
	for _, u := range []rig.User{stranger, viewer, operator, helper} {
		c := w.as(u)
		for _, p := range probes {
			if u != stranger && (strings.HasPrefix(p.method, peerIf) || strings.HasSuffix(p.method, ".PropertiesChanged")) {
				continue // they may ask what there is for all: Peer is, and the signal is no method
			}
			if _, err := c.call(p.path, p.method, p.args...); errorName(err) != dbusError+"AccessDenied" {
				t.Errorf("uid %d: %s %s%v = %v, want AccessDenied", u.UID, p.path, p.method, p.args, err)
			}
		}
	}
	if children := fmt.Sprint(w.as(viewer).introspect(vmPath).Children); strings.Contains(children, "QOM") {
		t.Errorf("below the VM for a viewer: %s", children)
	}
	if got := m.commands(); got != nil {
		t.Errorf("QEMU was told %q, want nothing", got)
	}
}

// TestQOMPolicy has a policy that looks at the arguments: it sees the path that QEMU will get.
func TestQOMPolicy(t *testing.T) {
	m := newQOMMachine(t, qom{}.grow("/machine/peripheral/net-1/x").grow("/machine/peripheral/net-2"))
	w := newWorld(t, m.dial)
	w.cedar = []string{`
		permit (principal in Role::"viewer", action in [Action::"qom-list", Action::"qom-get", Action::"qom-set"], resource)
		when { context.arguments.path == "/machine/peripheral/net-1" }
		unless { context.arguments has property && context.arguments.property == "type" };`}
	w.join()
	w.run()
	c := w.as(viewer)
	one, other := onBus("/machine/peripheral/net-1"), onBus("/machine/peripheral/net-2")
	tree := qomPath + "/machine"
	for _, test := range []struct {
		at     dbus.ObjectPath
		method string
		args   []any
		may    bool
	}{
		{one, look, nil, true},
		{one, qomIf + ".List", nil, true},
		{one, qomIf + ".Get", []any{"x"}, true},
		{one, qomIf + ".Set", []any{"x", dbus.MakeVariant(true)}, true},
		{one, qomIf + ".Get", []any{"type"}, false},
		{one, propsIf + ".Get", []any{qomIf, "Type"}, false},
		{one, propsIf + ".GetAll", []any{qomIf}, false},
		{one + "/x", look, nil, false},
		{other, look, nil, false},
		{other, qomIf + ".Set", []any{"x", dbus.MakeVariant(true)}, false},
		{tree, qomIf + ".List", nil, false},
		{qomPath, look, nil, false},
	} {
		want := ""
		if !test.may {
			want = dbusError + "AccessDenied"
		}
		if _, err := c.call(test.at, test.method, test.args...); errorName(err) != want {
			t.Errorf("%s %s%v = %v, want %q", test.at, test.method, test.args, err, want)
		}
	}
}

// TestQOMLimits has paths as long and as deep as there are on the bus, and one more.
func TestQOMLimits(t *testing.T) {
	const depth, length = 32, 1024 // maxQOMDepth, maxQOMPath
	tree := qom{}
	deepest, longest := strings.Repeat("/d", depth), ""
	for range length / 128 {
		longest += "/" + strings.Repeat("-", 127) // each three bytes on the bus
	}
	tree.grow(deepest + "/d").grow(longest).grow(longest + "-")
	m := newQOMMachine(t, tree)
	w, log := serveLogged(t, m)
	c := w.as(admin)
	for place, want := range map[string]string{
		deepest: "", deepest + "/d": dbusError + "UnknownObject",
		longest: "", longest + "-": dbusError + "UnknownObject",
	} {
		if _, err := c.call(onBus(place), look); errorName(err) != want {
			t.Errorf("%.20s..., %d bytes: %v, want %q", place, len(place), err, want)
		}
	}
	found := c.walk(qomPath)
	if !slices.Contains(found, onBus(deepest)) || !slices.Contains(found, onBus(longest)) || slices.Contains(found, onBus(longest+"-")) {
		t.Errorf("found %d objects, want those within the limits", len(found))
	}
	if told := log.lines("QEMU's object tree has more than is shown"); len(told) == 0 || len(told) > 2 {
		t.Errorf("of two objects that are not shown the log tells %q", told)
	}
}

// TestQOMHostile has QEMU answer what no QEMU does.
func TestQOMHostile(t *testing.T) {
	m := newMachine(t, nil)
	c := serve(t, m).as(admin)
	const hostile = qomPath + "/hostile"
	for reply, want := range map[string]string{
		`{}`: "Protocol", `null`: "Protocol", `[1]`: "Protocol", `[{"name": {}}]`: "Protocol", `"x"`: "Protocol",
		`[` + strings.Repeat(`[`, 5000) + strings.Repeat(`]`, 5000) + `]`: "Protocol",
	} {
		m.answer("qom-list", reply)
		for _, method := range []string{look, qomIf + ".List"} {
			if _, err := c.call(hostile, method); errorName(err) != ourError+want {
				t.Errorf("%s after %.20s = %v, want %s", method, reply, err, want)
			}
		}
	}
	m.answer("qom-list", `[{"name": "\u0000", "type": "child<\u0000>"}, {"name": "a", "type": "child<b"}, {"name": "a", "type": "child<c>"}]`)
	if got, err := c.call(hostile, qomIf+".List"); err != nil || fmt.Sprint(got) != "[[\uFFFD child<\uFFFD>] [a child<b]]" {
		t.Errorf("List with odd names = %q, %v", got, err)
	}
	if children := c.introspect(hostile).Children; len(children) != 1 || children[0].Name != "a" {
		t.Errorf("children with odd names: %v, want a alone", children)
	}
	for reply, want := range map[string]string{`{}`: "Protocol", `1`: "Protocol", `["x"]`: "Protocol"} {
		m.answer("qom-get", reply)
		if _, err := c.call(hostile, propsIf+".GetAll", qomIf); errorName(err) != ourError+want {
			t.Errorf("GetAll after %s = %v, want %s", reply, err, want)
		}
	}
	m.answer("qom-get", `"`+longText+`\u0000"`)
	if v, err := c.call(hostile, propsIf+".Get", qomIf, "Type"); err != nil || v.(dbus.Variant).Value() != longText[:inventory.MaxText] {
		t.Errorf("Type of a megabyte = %v, %v", v, err)
	}
}

// TestQOMChildren has as many objects in one as are shown, and more, with short names and with the longest: the latter
// don't fit into a message.
func TestQOMChildren(t *testing.T) {
	m := newMachine(t, nil)
	c := serve(t, m).as(admin)
	const full = qomPath + "/full"
	for _, test := range []struct {
		count, name, want int
		err               string
	}{
		{inventory.MaxProperties, 6, inventory.MaxProperties, ""},
		{inventory.MaxProperties + 1, 6, inventory.MaxProperties, ""},
		{4000, inventory.MaxName, 4000, ""},
		{inventory.MaxProperties, inventory.MaxName, 0, ourError + "LimitsExceeded"},
	} {
		var list []qomProperty
		for i := range test.count {
			list = append(list, qomProperty{strings.Repeat("-", test.name-6) + fmt.Sprintf("%06d", i), "child<x>"})
		}
		text, err := json.Marshal(list)
		if err != nil {
			t.Fatal(err)
		}
		m.answer("qom-list", string(text))
		xml, err := c.call(full, look)
		if n := strings.Count(fmt.Sprint(xml), "<node name="); test.err == "" && n != test.want || errorName(err) != test.err {
			t.Errorf("%d objects with names of %d bytes: %d are shown, error %q, want %d, %q", test.count, test.name, n, errorName(err), test.want, test.err)
		}
		if got, err := c.call(full, qomIf+".List"); test.err == "" && (err != nil || len(got.([][]any)) != test.want) {
			t.Errorf("%d properties with names of %d bytes: %v, want %d", test.count, test.name, err, test.want)
		}
	}
}
