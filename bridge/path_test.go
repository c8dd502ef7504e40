package bridge_test

import (
	"encoding/xml"
	"os"
	"path"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"
	"github.com/google/go-cmp/cmp"
)

// node is introspection data.
type node struct {
	Children []struct {
		Name string `xml:"name,attr"`
	} `xml:"node"`
	Interfaces []struct {
		Name    string `xml:"name,attr"`
		Methods []struct {
			nodeMember
			Annotations []struct {
				Name  string `xml:"name,attr"`
				Value string `xml:"value,attr"`
			} `xml:"annotation"`
		} `xml:"method"`
		Signals    []nodeMember `xml:"signal"`
		Properties []struct {
			Name string `xml:"name,attr"`
			Type string `xml:"type,attr"`
		} `xml:"property"`
	} `xml:"interface"`
}

// nodeMember is a method or signal there.
type nodeMember struct {
	Name string `xml:"name,attr"`
	Args []struct {
		Name      string `xml:"name,attr"`
		Type      string `xml:"type,attr"`
		Direction string `xml:"direction,attr"`
	} `xml:"arg"`
}

// introspect reads what an object says of itself.
func (c *caller) introspect(path dbus.ObjectPath) node {
	c.tb.Helper()
	text, err := c.call(path, "org.freedesktop.DBus.Introspectable.Introspect")
	if err != nil {
		c.tb.Fatal(err)
	}
	var n node
	if err := xml.Unmarshal([]byte(text.(string)), &n); err != nil {
		c.tb.Fatalf("%s: %v\n%s", path, err, text)
	}
	return n
}

// probe is one call that a caller may try.
type probe struct {
	path   dbus.ObjectPath
	method string
	args   []any
}

// probes are all calls that introspection offers below a path: each method, Get and Set of
// each property, GetAll of each interface, and each signal called as if it were a method.
func (c *caller) probes(at dbus.ObjectPath) []probe {
	c.tb.Helper()
	var all []probe
	n := c.introspect(at)
	for _, i := range n.Interfaces {
		for _, m := range i.Methods {
			var args []any
			for _, a := range m.Args {
				if a.Direction == "in" {
					args = append(args, c.sample(i.Name+"."+m.Name, a.Type))
				}
			}
			all = append(all, probe{at, i.Name + "." + m.Name, args})
		}
		for _, p := range i.Properties {
			all = append(all,
				probe{at, propsIf + ".Get", []any{i.Name, p.Name}},
				probe{at, propsIf + ".Set", []any{i.Name, p.Name, dbus.MakeVariant("x")}})
		}
		all = append(all, probe{at, propsIf + ".GetAll", []any{i.Name}})
		for _, s := range i.Signals {
			all = append(all, probe{at, i.Name + "." + s.Name, nil})
		}
	}
	for _, child := range n.Children {
		all = append(all, c.probes(dbus.ObjectPath(path.Join(string(at), child.Name)))...)
	}
	return all
}

// sample is an argument of that type, which for these methods does something.
func (c *caller) sample(method, signature string) any {
	switch signature {
	case "s":
		if method == callJSON {
			return ""
		}
		return "query-name"
	case "as":
		return []string{"STOP"}
	case "a{sv}":
		return none
	case "b":
		return true
	case "t":
		return uint64(1 << 20)
	case "v":
		return dbus.MakeVariant("x")
	case "u":
		return uint32(0)
	case "h":
		file, err := os.Open(os.DevNull)
		if err != nil {
			c.tb.Fatal(err)
		}
		c.tb.Cleanup(func() { file.Close() })
		return dbus.UnixFD(file.Fd())
	}
	c.tb.Fatalf("%s: no sample of type %s; add one", method, signature)
	return nil
}

// TestPathDeniesStrangers has a caller without any role try all that there is: each call is
// answered AccessDenied, none reaches QEMU, and each leaves one record.
func TestPathDeniesStrangers(t *testing.T) {
	m := newMachine(t, nil)
	w := serve(t, m)
	probes := w.as(admin).probes("/")
	if len(probes) < 50 {
		t.Fatalf("only %d calls found in the introspection data", len(probes))
	}
	before := len(w.records(5)) // of walking: /, /org, /org/qemu, VM1, QMP
	probes = append(probes,
		probe{"/org/qemu/VM2", busName + ".Pause", nil},
		probe{vmPath, "org.qemu.VM2.Pause", nil},
		probe{vmPath, busName + ".NoSuchMethod", nil},
		probe{vmPath, busName + ".Pause", []any{"one too many"}},
		probe{vmPath, propsIf + ".Get", []any{busName, "NoSuchProperty"}},
		probe{vmPath, propsIf + ".GetAll", []any{"org.qemu.VM2"}},
		probe{qmpPath, callJSON, []any{"stop", "{not JSON"}},
		probe{qmpPath, call, []any{"stop", map[string]dbus.Variant{"a": dbus.MakeVariant("\uFFFE")}}},
	)
	s := w.as(stranger)
	for _, p := range probes {
		if _, err := s.call(p.path, p.method, p.args...); errorName(err) != dbusError+"AccessDenied" {
			t.Errorf("%s %s%q = %v, want AccessDenied", p.path, p.method, p.args, err)
		}
	}
	if got := m.commands(); got != nil {
		t.Errorf("QEMU was told %q, want nothing", got)
	}
	w.records(before + len(probes))
	time.Sleep(50 * time.Millisecond) // several times what a record takes
	records := w.records(before + len(probes))[before:]
	if len(records) != len(probes) {
		t.Errorf("%d records for %d calls", len(records), len(probes))
	}
	for _, r := range records {
		if r.Decision != "deny" || r.Result != dbusError+"AccessDenied" || r.Caller != s.unique || *r.UID != stranger.UID {
			t.Errorf("record %+v of a call that was denied", r)
		}
	}
}

// curated says which commands the methods of org.qemu.VM1 are, with the sample's arguments; nil for those that are none. A
// screenshot is the second of its three.
var curated = map[string][]string{
	"Pause": {"stop"}, "Resume": {"cont"}, "PowerDown": {"system_powerdown"}, "Reset": {"system_reset"},
	"Wakeup": {"system_wakeup"}, "InjectNMI": {"inject-nmi"}, "Quit": {"quit"},
	"SetMemory": {`balloon {"value":1048576}`}, "SendKey": {`send-key {"keys":[{"type":"qcode","data":"STOP"}]}`},
	"Screenshot": {
		addFD, `screendump {"filename":"/dev/fdset/SET"}`, removeFD,
	},
	"CanExecute": nil, "ListCommands": nil, "Subscribe": nil, "Unsubscribe": nil, "OpenQMP": nil,
}

// TestCurated has an administrator call each method of org.qemu.VM1: what reaches QEMU is what
// is documented, and so is what the audit says.
func TestCurated(t *testing.T) {
	m := newMachine(t, nil)
	newScreen(m)
	w := serve(t, m)
	c := w.as(admin)
	records := 1 // of introspect
	for _, i := range c.introspect(vmPath).Interfaces {
		if i.Name != busName {
			continue
		}
		for _, method := range i.Methods {
			want, documented := curated[method.Name]
			if !documented {
				t.Errorf("%s is not in the table of this test", method.Name)
				continue
			}
			var args []any
			for _, a := range method.Args {
				if a.Direction == "in" {
					args = append(args, c.sample(method.Name, a.Type))
				}
			}
			if err := c.vm(method.Name, args...); err != nil {
				t.Errorf("%s: %v", method.Name, err)
			}
			if diff := cmp.Diff(passed(want), passed(m.commands())); diff != "" {
				t.Errorf("%s (-want +got):\n%s", method.Name, diff)
			}
			records++
			if want == nil {
				continue
			}
			action, _, _ := strings.Cut(want[len(want)/2], " ")
			isIt := func(r record) bool { return r.Action == action && r.Decision == "allow" && r.Result == "ok" }
			if !slices.ContainsFunc(w.records(records), isIt) {
				t.Errorf("%s is not in the audit as %s", method.Name, action)
			}
		}
	}
}
