package inventory_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"qmp-dbus-bridge/bridge/inventory"
)

// nics reads what the monitor for people wrote.
func nics(t *testing.T, lines ...string) inventory.Reading {
	t.Helper()
	reply, err := json.Marshal(strings.Join(lines, "\r\n") + "\r\n")
	if err != nil {
		t.Fatal(err)
	}
	r, err := query(t, "human-monitor-command").Read(reply)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// mac is an address.
const mac = "52:54:00:12:34:5f"

// nic is the line of a queue of a NIC.
func nic(name string, queue int) string {
	return fmt.Sprintf("%s: index=%d,type=nic,model=virtio-net-pci,macaddr=%s", name, queue, mac)
}

// TestNICs reads what QEMUs write (5.2, 7.2 and 10.0), and what somebody writes who names things so.
func TestNICs(t *testing.T) {
	for _, test := range []struct {
		lines []string
		want  []string // id, address and queues
		left  int
	}{
		{nil, nil, 0},
		{[]string{""}, nil, 0},
		{[]string{nic("nic0", 0), ` \ n0: index=0,type=user,net=10.0.2.0,restrict=off`}, []string{"nic0 " + mac + " 1"}, 0},
		{[]string{
			"hub 1", ` \ h0: e1000.1: index=0,type=nic,model=e1000,macaddr=` + mac,
			` \ h1: n1: index=0,type=user,net=10.0.2.0,restrict=off`, "sk: index=0,type=socket,", nic("b.0", 0),
		}, []string{"b.0 " + mac + " 1", "e1000.1 " + mac + " 1"}, 0},
		{
			[]string{nic("m", 0), ` \ t: index=0,type=tap,fd=9`, nic("m", 1), ` \ t: index=1,type=tap,fd=10`, nic("m", 2)},
			[]string{"m " + mac + " 3"},
			0,
		},
		{[]string{"x: index=0,type=nic,"}, []string{"x  1"}, 0},
		{[]string{nic("a b", 0), nic("c: index=0,type=nic,d", 0)}, []string{"a b " + mac + " 1", "c: index=0,type=nic,d " + mac + " 1"}, 0},
		{[]string{nic("n", 0), nic("n", 0), nic("n", 1), nic("n", 3), nic("o", 1)}, []string{"n " + mac + " 2"}, 3}, // told twice, or not in turn
		{[]string{
			"sk: index=0,type=socket,nic0: index=0,type=nic", "n: index=0,type=nic,model=a,b,macaddr=" + mac,
			"n: index=-1,type=nic,model=a,macaddr=" + mac, "n: index=10000,type=nic,model=a,macaddr=" + mac,
			"n: index=0,type=nic,model=a,macaddr=" + mac + " ", "n: index=0,type=nic,model=a,macaddr=52:54:00:12:34",
			": index=0,type=nic,model=a,macaddr=" + mac, " x: index=0,type=nic,model=a,macaddr=" + mac,
			"n: index=0,type=NIC,model=a,macaddr=" + mac, "  - f: type=filter-dump,status=on", "n: index=0,type=nicx,",
		}, nil, 0},
		{[]string{nic(strings.Repeat("n", inventory.MaxName), 0), nic(strings.Repeat("n", inventory.MaxName+1), 0)}, []string{strings.Repeat("n", inventory.MaxName) + " " + mac + " 1"}, 1},
	} {
		r := nics(t, test.lines...)
		var got []string
		for _, item := range r.Items {
			got = append(got, fmt.Sprint(item.ID, " ", item.Values[0], " ", decode(t, item.Values[1], "u").Value()))
		}
		if diff := cmp.Diff(test.want, got); diff != "" || r.Left != test.left {
			t.Errorf("%.200q: %d left out, want %d; NICs (-want +got):\n%s", test.lines, r.Left, test.left, diff)
		}
	}
	for _, reply := range []string{``, `{}`, `[]`, `1`, `null x`} {
		if r, err := query(t, "human-monitor-command").Read([]byte(reply)); err == nil || r.Items != nil {
			t.Errorf("%s: %v, want an error", reply, r)
		}
	}
}

// TestMaxNICs has as many as are shown, and one more.
func TestMaxNICs(t *testing.T) {
	var lines []string
	for i := range inventory.MaxItems + 1 {
		lines = append(lines, nic(fmt.Sprint("n", i), 0))
	}
	for _, more := range []int{0, 1} {
		if r := nics(t, lines[:inventory.MaxItems+more]...); len(r.Items) != inventory.MaxItems || r.Left != more {
			t.Errorf("%d NICs, %d left out, want %d, %d", len(r.Items), r.Left, inventory.MaxItems, more)
		}
	}
}

// wired are the netdevs of NICs a and b.
var wired = details{"/machine/peripheral/a netdev": "na", "/machine/peripheral/b netdev": ""}

// shown completes a reading and tells the NICs with their netdevs and links.
func shown(t *testing.T, known *inventory.Known, r inventory.Reading) string {
	t.Helper()
	var list []string
	for _, item := range wired.complete(t, known, r).Items {
		list = append(list, fmt.Sprint(item.ID, " ", item.Values[3], " ", decode(t, item.Values[2], "b").Value()))
	}
	return strings.Join(list, ", ")
}

// TestNICsHaveIDs has lines of what is no NIC with an id: QOM knows no netdev of it.
func TestNICsHaveIDs(t *testing.T) {
	known := query(t, "human-monitor-command").Known()
	if got := shown(t, known, nics(t, nic("b", 0), nic("virtio-net-pci.0", 0), nic("../x", 0), nic("\uFFFE", 0), nic("a", 0))); got != "a na true, b  true" {
		t.Error(got)
	}
}

// TestLinks has links set down and up, by a NIC's name and its netdev's.
func TestLinks(t *testing.T) {
	known := query(t, "human-monitor-command").Known()
	set := func(name string, up bool) {
		known.Executed("set_link", fmt.Appendf(nil, `{"name":%q,"up":%v}`, name, up))
	}
	both := func(want string) {
		t.Helper()
		if got := shown(t, known, nics(t, nic("a", 0), nic("b", 0))); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	both("a na true, b  true")
	set("a", false)
	both("a na false, b  true")
	both("a na false, b  true")
	set("na", true)
	both("a na true, b  true")
	set("a", false)
	set("na", true)
	set("na", false)
	set("a", true)
	both("a na true, b  true")
	set("", false) // no NIC's netdev
	both("a na true, b  true")
	set("b", false)
	set("na", false)
	known.Executed("set_link", nil)
	known.Executed("stop", []byte(`{"name":"a","up":true}`))
	both("a na false, b  false")

	// Another NIC of the same name is up, whatever its netdev is.
	known.Heard("DEVICE_DELETED", []byte(`{"device": "a", "path": "/machine/peripheral/a"}`))
	both("a na true, b  false")
	if got := shown(t, known, nics(t, nic("a", 0))); got != "a na true" {
		t.Error(got)
	}
	both("a na true, b  true") // b had gone

	// What is set while the NICs are being read counts also for those that this reading does not have yet.
	r := nics(t, nic("b", 0))
	known.Asked()
	set("a", false)
	if got := known.Complete(r).Items; len(got) != 1 {
		t.Errorf("%v", got)
	}
	both("a na false, b  true")
}

// TestMaxLinks has as many links set as are kept for NICs that have yet to be read, and one more: the first is lost.
func TestMaxLinks(t *testing.T) {
	for more, want := range []string{"a na false", "a na true"} {
		known := query(t, "human-monitor-command").Known()
		known.Executed("set_link", []byte(`{"name":"a","up":false}`))
		for i := range inventory.MaxItems - 1 + more {
			known.Executed("set_link", fmt.Appendf(nil, `{"name":"x%d","up":false}`, i))
		}
		if got := shown(t, known, nics(t, nic("a", 0))); got != want {
			t.Errorf("%d more: %s, want %s", more, got, want)
		}
	}
}
