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

// treeOf writes devices as QEMU's tree of them, each "ID=DRIVER@BUS"; those with an empty bus are in no tree.
func treeOf(devices ...string) string {
	var tree strings.Builder
	bus := ""
	for _, d := range devices {
		of, on, _ := strings.Cut(d, "@")
		id, driver, _ := strings.Cut(of, "=")
		if on != "" && on != bus {
			fmt.Fprintf(&tree, "bus: %s\r\n  type System\r\n", on)
			bus = on
		}
		if on != "" {
			fmt.Fprintf(&tree, "  dev: %s, id \"%s\"\r\n    serial = \"1\"\r\n", driver, id)
		}
	}
	return tree.String()
}

// surveyed has an inquiry after devices "ID=DRIVER@BUS" ask for a survey, and returns what QEMU tells of them.
func surveyed(t *testing.T, devices ...string) (known *inventory.Known, r inventory.Reading, i *inventory.Inquiry, survey inventory.Question, on details) {
	t.Helper()
	var list []map[string]string
	on = details{}
	for _, d := range devices {
		of, bus, _ := strings.Cut(d, "@")
		id, driver, _ := strings.Cut(of, "=")
		list = append(list, map[string]string{"name": id, "type": "child<" + driver + ">"})
		on["/machine/peripheral/"+id+" parent_bus"] = bus
	}
	reply, err := json.Marshal(list)
	if err != nil {
		t.Fatal(err)
	}
	q := query(t, "qom-list")
	if r, err = q.Read(reply); err != nil {
		t.Fatal(err)
	}
	known = q.Known()
	i = known.Inquire(r.Items)
	return known, r, i, nextSurvey(t, i), on
}

// nextSurvey is the question for a survey, until whose answer there is no other.
func nextSurvey(t *testing.T, i *inventory.Inquiry) inventory.Question {
	t.Helper()
	survey, _ := i.Next()
	if survey.Command != "human-monitor-command" || string(survey.Arguments) != `{"command-line":"info qtree"}` {
		t.Fatalf("%s %s, want a survey", survey.Command, survey.Arguments)
	}
	if q, found := i.Next(); found {
		t.Fatalf("%s %s before the survey is answered", q.Command, q.Arguments)
	}
	return survey
}

// learnTree answers a survey.
func learnTree(t *testing.T, i *inventory.Inquiry, survey inventory.Question, tree string) {
	t.Helper()
	reply, err := json.Marshal(tree)
	if err == nil {
		err = i.Learn(survey, reply)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// rest answers what is asked now and after that, all before the first answer, and returns of which devices that was.
func (all details) rest(t *testing.T, i *inventory.Inquiry) (asked []string) {
	t.Helper()
	for {
		var together []inventory.Question
		for q, found := i.Next(); found; q, found = i.Next() {
			together = append(together, q)
		}
		if len(together) == 0 {
			return asked
		}
		for _, q := range together {
			asked = append(asked, all.tell(t, i, q))
		}
	}
}

// wantBuses has each device be on the bus that QEMU tells of it.
func (all details) wantBuses(t *testing.T, known *inventory.Known, r inventory.Reading) {
	t.Helper()
	var want []string
	for _, item := range r.Items {
		bus := all["/machine/peripheral/"+item.ID+" parent_bus"]
		want = append(want, item.ID+" on "+bus[strings.LastIndexByte(bus, '/')+1:])
	}
	if diff := cmp.Diff(want, buses(known.Complete(r))); diff != "" {
		t.Errorf("buses (-want +got):\n%s", diff)
	}
}

// disks are n of them on one bus, "ID=DRIVER@BUS".
func disks(n int) (list []string) {
	for i := range n {
		list = append(list, fmt.Sprintf("disk%d=scsi-hd@s.0", i))
	}
	return list
}

// TestSurveyRecorded reads what QEMUs have answered: devices on two SCSI buses and three ports of PCI Express, some on none, and one with
// a serial number that looks like the line of a bus.
func TestSurveyRecorded(t *testing.T) {
	for _, version := range []string{"7.2", "10"} {
		t.Run(version, func(t *testing.T) {
			text, err := os.ReadFile(filepath.Join("testdata", version, "tree.json"))
			if err != nil {
				t.Fatal(err)
			}
			var told struct {
				Devices json.RawMessage
				Buses   map[string]string
				Tree    json.RawMessage
			}
			if err := json.Unmarshal(text, &told); err != nil {
				t.Fatal(err)
			}
			r, err := query(t, "qom-list").Read(told.Devices)
			if err != nil {
				t.Fatal(err)
			}
			on := details{}
			for id, bus := range told.Buses {
				on["/machine/peripheral/"+id+" parent_bus"] = bus
			}
			known := query(t, "qom-list").Known()
			i := known.Inquire(r.Items)
			if err := i.Learn(nextSurvey(t, i), told.Tree); err != nil {
				t.Fatal(err)
			}
			// The line that looks like a bus is after disk3, and those that came later are before it.
			want := []string{"dimm0", "dimm1", "disk0", "disk1", "disk3", "rng0", "rng1", "rp0", "scsi0"}
			if diff := cmp.Diff(want, on.rest(t, i)); diff != "" {
				t.Errorf("asked (-want +got):\n%s", diff)
			}
			on.wantBuses(t, known, r)
		})
	}
}

// TestSurveySpares has as many devices be unknown that a survey is worth it, and one fewer.
func TestSurveySpares(t *testing.T) {
	known, r, i, survey, on := surveyed(t, disks(9)...)
	learnTree(t, i, survey, treeOf(disks(9)...))
	if asked := on.rest(t, i); len(asked) != 1 {
		t.Errorf("asked %v, want one for all", asked)
	}
	on.wantBuses(t, known, r)
	few := devices(t, "a=x", "b=x", "c=x", "d=x", "e=x", "f=x", "g=x", "h=x", "i=y", "j=z")
	lacked := devices(t, "a=nvme-ns", "b=nvme-ns", "c=nvme-ns", "d=nvme-ns", "e=nvme-ns", "f=nvme-ns", "g=nvme-ns", "h=nvme-ns", "i=nvme-ns")
	for _, each := range []inventory.Reading{few, lacked} {
		if asked := on.rest(t, known.Inquire(each.Items)); len(asked) != len(each.Items) { // tell fails at a survey
			t.Errorf("asked %v, want each", asked)
		}
	}
}

// TestSurveyForged has lines in the tree that who may name a device's serial number has forged: each device is on the bus that QEMU tells
// of it.
func TestSurveyForged(t *testing.T) {
	true8 := append(disks(9), "dimm=pc-dimm@", "dimm2=pc-dimm@", "nic=e1000@p.0")
	for name, forged := range map[string]string{
		"a bus":                       "bus: other",
		"another line for a device":   "bus: other\r\n  dev: scsi-hd, id \"disk8\"",
		"a line for one on no bus":    "  dev: pc-dimm, id \"dimm\"",
		"for two on no bus":           "  dev: pc-dimm, id \"dimm\"\r\n  dev: pc-dimm, id \"dimm2\"",
		"and with another driver":     "  dev: scsi-hd, id \"dimm\"",
		"and on a bus that is higher": "      bus: deep\r\n        dev: e1000, id \"nic\"",
		"one for itself":              "  dev: scsi-hd, id \"disk4\"",
		"nonsense":                    "dev: \r\n bus:\r\nbus: \r\n    dev: x, id \"disk5\r\n  dev: , id \"\"\"\r\n  dev: x, id \"no\"",
	} {
		t.Run(name, func(t *testing.T) {
			tree := treeOf(true8...)
			at := strings.Index(tree, "1\"\r\n  dev: scsi-hd, id \"disk5\"")
			for _, text := range []string{tree[:at] + "\r\n" + forged + "\r\n" + tree[at:], forged + "\r\n" + tree, tree + forged} {
				known, r, i, survey, on := surveyed(t, true8...)
				learnTree(t, i, survey, text)
				on.rest(t, i)
				on.wantBuses(t, known, r)
			}
		})
	}
}

// TestSurveyOffTree has devices on buses that the tree lacks, and lines forged for them.
func TestSurveyOffTree(t *testing.T) {
	known, r, i, survey, on := surveyed(t, append(disks(9), "ns0=nvme-ns@sub0", "ns1=nvme-ns@sub1")...)
	learnTree(t, i, survey, treeOf(disks(9)...)+treeOf("ns0=nvme-ns@x", "ns1=nvme-ns@x"))
	on.rest(t, i)
	on.wantBuses(t, known, r)
}

// TestMaxTree has a QEMU write as much as is read, and a byte more.
func TestMaxTree(t *testing.T) {
	for more, want := range []int{1, 9} {
		known, r, i, survey, on := surveyed(t, disks(9)...)
		reply, err := json.Marshal(treeOf(disks(9)...))
		if err != nil {
			t.Fatal(err)
		}
		padding := strings.Repeat(" ", inventory.MaxTree+more-len(reply))
		if err := i.Learn(survey, append(reply[:len(reply)-1], padding+`"`...)); (err != nil) != (more > 0) {
			t.Errorf("%d bytes: %v", inventory.MaxTree+more, err)
		}
		if asked := on.rest(t, i); len(asked) != want {
			t.Errorf("%d bytes: asked %v, want %d", inventory.MaxTree+more, asked, want)
		}
		on.wantBuses(t, known, r)
	}
}

// TestSurveyWithoutAnswer has a QEMU that does not tell of a survey, or of the one that was asked for all.
func TestSurveyWithoutAnswer(t *testing.T) {
	for name, answer := range map[string]func(*testing.T, *inventory.Inquiry, inventory.Question) error{
		"refused":  func(_ *testing.T, i *inventory.Inquiry, q inventory.Question) error { i.LearnNone(q); return nil },
		"lost":     func(_ *testing.T, i *inventory.Inquiry, q inventory.Question) error { i.Miss(q); return nil },
		"empty":    func(_ *testing.T, i *inventory.Inquiry, q inventory.Question) error { return i.Learn(q, []byte(`""`)) },
		"nonsense": func(_ *testing.T, i *inventory.Inquiry, q inventory.Question) error { return i.Learn(q, []byte(`{}`)) },
	} {
		t.Run(name, func(t *testing.T) {
			known, r, i, survey, on := surveyed(t, disks(9)...)
			if err := answer(t, i, survey); (err != nil) != (name == "nonsense") {
				t.Error(err)
			}
			if asked := on.rest(t, i); len(asked) != 9 {
				t.Errorf("asked %v, want each", asked)
			}
			on.wantBuses(t, known, r)
			if name == "empty" {
				return
			}
			known, r, i, survey, on = surveyed(t, disks(9)...)
			learnTree(t, i, survey, treeOf(disks(9)...))
			q, _ := i.Next()
			if next, found := i.Next(); found {
				t.Fatalf("%s before one has told for all", next.Arguments)
			}
			if err := answer(t, i, q); (err != nil) != (name == "nonsense") {
				t.Error(err)
			}
			if asked := on.rest(t, i); len(asked) != 8 {
				t.Errorf("asked %v, want each", asked)
			}
			delete(on, "/machine/peripheral/disk0 parent_bus")
			on.wantBuses(t, known, r)
		})
	}
}

// TestSurveyIsStale has a device go, and another of its id come on another bus, after the survey: then it tells nothing any more.
func TestSurveyIsStale(t *testing.T) {
	gone := func(known *inventory.Known) { known.Heard("DEVICE_DELETED", []byte(`{"device": "disk3"}`)) }
	added := func(known *inventory.Known) {
		known.Executed("device_add", []byte(`{"driver": "scsi-hd", "id": "disk3"}`))
	}
	for name, change := range map[string]func(*inventory.Known){"gone": gone, "added": added} {
		for moment := range 3 {
			t.Run(fmt.Sprint(name, moment), func(t *testing.T) {
				known, r, i, survey, on := surveyed(t, disks(9)...)
				at := func(now int) {
					if now == moment {
						change(known)
						on["/machine/peripheral/disk3 parent_bus"] = "/x/other"
					}
				}
				at(0)
				learnTree(t, i, survey, treeOf(disks(9)...))
				at(1)
				var together []inventory.Question
				for q, found := i.Next(); found; q, found = i.Next() {
					together = append(together, q)
				}
				at(2)
				asked := len(together)
				for _, q := range together {
					on.tell(t, i, q)
				}
				if asked += len(on.rest(t, i)); asked != 9 {
					t.Errorf("asked %d times, want each", asked)
				}
				on.wantBuses(t, known, r)
			})
		}
	}
}

// TestSurveyAfterChange has a device go before the survey is asked for, in which there is a line forged for it alone.
func TestSurveyAfterChange(t *testing.T) {
	r := devices(t, "a=scsi-hd", "b=scsi-hd", "c=scsi-hd", "d=scsi-hd", "e=scsi-hd", "f=scsi-hd", "g=scsi-hd", "h=scsi-hd", "gone=scsi-hd")
	on := details{}
	for _, item := range r.Items {
		on["/machine/peripheral/"+item.ID+" parent_bus"] = "/x/s.0"
	}
	known := query(t, "qom-list").Known()
	known.Asked()
	i := known.Inquire(r.Items)
	known.Heard("DEVICE_DELETED", []byte(`{"device": "gone"}`))
	learnTree(t, i, nextSurvey(t, i), treeOf("a=scsi-hd@s.0", "b=scsi-hd@s.0", "gone=scsi-hd@s.0"))
	if asked := on.rest(t, i); len(asked) != 9 {
		t.Errorf("asked %v, want each", asked)
	}
}

// TestSurveyBetween has devices be asked about one at a time, as they are when callers are there.
func TestSurveyBetween(t *testing.T) {
	all := append(disks(9), "nic0=e1000@p.0", "nic1=e1000@p.0", "nic2=e1000@q.0", "alone=x@")
	known, r, i, survey, on := surveyed(t, all...)
	learnTree(t, i, survey, treeOf(all...))
	var asked []string
	for q, found := i.Next(); found; q, found = i.Next() {
		asked = append(asked, on.tell(t, i, q))
	}
	if diff := cmp.Diff([]string{"alone", "disk0", "nic0", "nic2"}, asked); diff != "" {
		t.Errorf("asked (-want +got):\n%s", diff)
	}
	on.wantBuses(t, known, r)
}

// FuzzSurvey has who may name a device's serial number forge any lines: each device is on the bus that QEMU tells of it.
func FuzzSurvey(f *testing.F) {
	all := append(disks(9), "other0=scsi-hd@t.0", "other1=scsi-hd@t.0", "nic0=e1000@p.0", "dimm0=pc-dimm@", "dimm1=pc-dimm@")
	tree := treeOf(all...)
	f.Add("bus: a\n  dev: pc-dimm, id \"dimm0\"\n  bus: b\n    dev: scsi-hd, id \"disk1\"", 3)
	f.Add("  dev: pc-dimm, id \"dimm0\"\n  dev: pc-dimm, id \"dimm1\"\n", 0)
	f.Fuzz(func(t *testing.T, forged string, device int) {
		lines := strings.SplitAfter(tree, "serial = \"")
		n := 1 + int(uint(device)%uint(len(lines)-1))
		lines[n] = "\r\n" + forged + "\r\n" + lines[n]
		known, r, i, survey, on := surveyed(t, all...)
		learnTree(t, i, survey, strings.Join(lines, ""))
		on.rest(t, i)
		on.wantBuses(t, known, r)
	})
}
