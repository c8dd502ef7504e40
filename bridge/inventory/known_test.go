package inventory_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"qmp-dbus-bridge/bridge/inventory"
)

// details are what devices' QOM properties tell, by "PATH PROPERTY". What is not there QEMU refuses to tell.
type details map[string]string

// recordedDetails are what a QEMU has told.
func recordedDetails(t *testing.T, version string) (all details) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", version, "details.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &all); err != nil {
		t.Fatal(err)
	}
	return all
}

// complete asks for all details that are not known, and completes a reading with them.
func (all details) complete(t *testing.T, known *inventory.Known, r inventory.Reading) inventory.Reading {
	t.Helper()
	all.ask(t, known, r)
	return known.Complete(r)
}

// ask asks for all details that are not known, and returns which objects were asked for them.
func (all details) ask(t *testing.T, known *inventory.Known, r inventory.Reading) (asked []string) {
	t.Helper()
	known.Asked()
	inquiry := known.Inquire(r.Items)
	for q, found := inquiry.Next(); found; q, found = inquiry.Next() {
		asked = append(asked, all.tell(t, inquiry, q))
	}
	return asked
}

// tell answers a question, and returns of which object that was.
func (all details) tell(t *testing.T, inquiry *inventory.Inquiry, q inventory.Question) (id string) {
	t.Helper()
	var of struct{ Path, Property string }
	if err := json.Unmarshal(q.Arguments, &of); err != nil || q.Command != "qom-get" {
		t.Fatalf("%s %s: %v", q.Command, q.Arguments, err)
	}
	told, found := all[of.Path+" "+of.Property]
	reply, err := json.Marshal(told)
	if err != nil {
		t.Fatal(err)
	}
	if !found {
		inquiry.LearnNone(q)
	} else if err := inquiry.Learn(q, reply); err != nil {
		t.Fatal(err)
	}
	return filepath.Base(of.Path)
}

// devices is a reading of devices of these ids, which may have their driver behind an equals sign.
func devices(t *testing.T, ids ...string) inventory.Reading {
	t.Helper()
	var list []map[string]string
	for _, id := range ids {
		id, driver, _ := strings.Cut(id, "=")
		list = append(list, map[string]string{"name": id, "type": "child<" + driver + ">"})
	}
	reply, err := json.Marshal(list)
	if err != nil {
		t.Fatal(err)
	}
	r, err := query(t, "qom-list").Read(reply)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// buses are the buses of the devices in a reading.
func buses(r inventory.Reading) (list []string) {
	for _, item := range r.Items {
		list = append(list, item.ID+" on "+item.Values[2].String())
	}
	return list
}

// TestDetailsAreAskedOnce has devices come and go: each is asked for its bus once, while it is there and the same.
func TestDetailsAreAskedOnce(t *testing.T) {
	on := details{
		"/machine/peripheral/a parent_bus": "/machine/q35/pcie.0", "/machine/peripheral/b parent_bus": "",
		"/machine/peripheral/c parent_bus": "main",
	}
	known := query(t, "qom-list").Known()
	step := func(ids []string, want, wantBuses string) {
		t.Helper()
		r := devices(t, ids...)
		if asked := fmt.Sprint(on.ask(t, known, r)); asked != want {
			t.Errorf("%v: asked %s, want %s", ids, asked, want)
		}
		if got := strings.Join(buses(known.Complete(r)), ", "); got != wantBuses {
			t.Errorf("%v: %s, want %s", ids, got, wantBuses)
		}
	}
	step([]string{"a", "b"}, "[a b]", "a on pcie.0, b on ")
	step([]string{"a", "b", "c", "d"}, "[c d]", "a on pcie.0, b on , c on main, d on ")
	step([]string{"d", "c", "a"}, "[]", "a on pcie.0, c on main, d on ") // b is forgotten
	on["/machine/peripheral/a parent_bus"] = "/x/y"
	step([]string{"a", "b"}, "[b]", "a on pcie.0, b on ")
	for _, other := range []string{"", `{}`, `{"device": "b"}`, `{"path": "/machine/peripheral/a/virtio-backend"}`, `{"device": 1}`} {
		known.Heard("DEVICE_DELETED", []byte(other))
	}
	known.Heard("DEVICE_UNPLUG_GUEST_ERROR", []byte(`{"device": "a"}`))
	known.Executed("device_del", []byte(`{"id": "a"}`))
	step([]string{"a"}, "[]", "a on pcie.0")
	known.Heard("DEVICE_DELETED", []byte(`{"device": "a", "path": "/machine/peripheral/a"}`))
	step([]string{"a"}, "[a]", "a on y") // another one of that name
	on["/machine/peripheral/a parent_bus"] = "/z"
	step([]string{"a=other"}, "[a]", "a on z")
	delete(on, "/machine/peripheral/a parent_bus")
	known.Executed("device_add", []byte(`{"driver": "other", "id": "a"}`))
	step([]string{"a=other"}, "[a]", "a on ")
	step([]string{"a=other"}, "[]", "a on ")
}

// TestDetailsOfHostile has ids and details that no QEMU has.
func TestDetailsOfHostile(t *testing.T) {
	known := query(t, "qom-list").Known()
	r := devices(t, "\uFFFE", `"},{`+"\n\\", "ok")
	var asked []string
	var last inventory.Question
	inquiry := known.Inquire(r.Items)
	for q, found := inquiry.Next(); found; q, found = inquiry.Next() {
		var of struct{ Path string }
		if err := json.Unmarshal(q.Arguments, &of); err != nil {
			t.Errorf("%s %s: %v", q.Command, q.Arguments, err)
		}
		asked = append(asked, strings.TrimPrefix(of.Path, "/machine/peripheral/"))
		last = q
		for _, reply := range []string{`1`, `{}`, `[]`, ``, `"`} {
			if err := inquiry.Learn(q, []byte(reply)); err == nil {
				t.Errorf("the detail %s: no error", reply)
			}
		}
	}
	if diff := cmp.Diff([]string{`"},{` + "\n\\", "ok"}, asked); diff != "" {
		t.Errorf("asked (-want +got):\n%s", diff)
	}
	long := "/" + strings.Repeat("ä", inventory.MaxText)
	if err := inquiry.Learn(last, []byte(`"`+long+`"`)); err != nil {
		t.Fatal(err)
	}
	var ok string
	for _, item := range known.Complete(r).Items {
		if item.ID == "ok" {
			ok = item.Values[2].String()
		}
	}
	if len(ok) > inventory.MaxText || !strings.HasPrefix(long[1:], ok) || ok == "" {
		t.Errorf("a bus of %d bytes", len(ok))
	}
}
