package inventory

import (
	"encoding/json"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// The indexes of the values of a NIC.
const (
	nicLink   = 2
	nicNetdev = 3
)

// nicLine is what QEMU's monitor for people writes of a queue of a NIC (print_net_client and net_hub_info in its net/),
// the same from 5.2 to 10.0:
//
//	nic0: index=0,type=nic,model=virtio-net-pci,macaddr=52:54:00:12:34:56
//	 \ n0: index=0,type=user,net=10.0.2.0,restrict=off
//	hub 1
//	 \ port: nic1: index=0,type=nic,model=e1000,macaddr=52:54:00:12:34:57
//
// No command tells the MAC addresses, and how many queues there are neither QOM does. Of the lines no more is believed than
// their form shows: a name is that of a NIC if the device with that id has a netdev (see Detail), which QOM tells then. So
// who may give a socket or a device a name with a line end in it can forge an address here, and no NIC.
var nicLine = regexp.MustCompile(`^(?: \\ [^:]*: )?([^ ].*): index=([0-9]{1,4}),type=nic,(?:model=[^,]*,macaddr=((?:[0-9a-f]{2}:){5}[0-9a-f]{2}))?$`)

// readNICs reads the NICs, each of whose queues has a line. Their links and netdevs are not told.
func readNICs(reply []byte) (Reading, error) {
	var told string
	if err := json.Unmarshal(reply, &told); err != nil {
		return Reading{}, err
	}
	var r Reading
	found := map[string]int{} // indexes of r.Items
	for line := range strings.Lines(told) {
		match := nicLine.FindStringSubmatch(strings.TrimRight(line, "\r\n"))
		if match == nil {
			continue
		}
		name, mac := match[1], match[3]
		queue, _ := strconv.ParseUint(match[2], 10, 16)
		if i, again := found[name]; again {
			r.addQueue(i, queue)
		} else if queue != 0 {
			r.Left++
		} else if before := len(r.Items); r.add(newItem(name, Text(mac), Number(1), Flag(true), Text(""))) {
			found[name] = before
		}
	}
	slices.SortFunc(r.Items, func(a, b Item) int { return strings.Compare(a.Element, b.Element) })
	return r, nil
}

// addQueue counts one more queue of a NIC, which must be the next one.
func (r *Reading) addQueue(nic int, queue uint64) {
	count := &r.Items[nic].Values[1]
	if *count != Number(queue) {
		r.Left++
		return
	}
	*count = Number(queue + 1)
}

// links are the links of NICs as commands have set them: no reply tells of one. A link is up until it is set down.
type links struct {
	sets []linkSet       // in order; those that a reading of all NICs that they could mean has yet to come of
	down map[string]bool // by id, of NICs that are there
}

// linkSet is a set_link. Its name is a NIC's, or that of a netdev, whose NIC it sets too.
type linkSet struct {
	Name string `json:"name"`
	Up   bool   `json:"up"`
	old  bool   // the NICs have been asked for since
}

// maxSets bounds the sets that a QEMU takes while it does not tell of its NICs.
const maxSets = MaxItems

func newLinks() hearsay { return &links{down: map[string]bool{}} }

func (l *links) asked() {
	for i := range l.sets {
		l.sets[i].old = true
	}
}

func (l *links) executed(command string, arguments []byte) {
	if command != "set_link" {
		return
	}
	var set linkSet
	_ = json.Unmarshal(arguments, &set) // they were made by the bridge
	l.forget(set.Name)
	if len(l.sets) == maxSets {
		l.sets = slices.Delete(l.sets, 0, 1)
	}
	l.sets = append(l.sets, set)
}

// forget takes back the sets of a name.
func (l *links) forget(name string) {
	l.sets = slices.DeleteFunc(l.sets, func(set linkSet) bool { return set.Name == name })
}

func (l *links) heard(event string, data []byte) {
	if event == "DEVICE_DELETED" {
		id := DeletedDevice(data)
		l.forget(id)
		delete(l.down, id)
	}
}

func (l *links) complete(nics []Item) {
	down := map[string]bool{}
	for _, nic := range nics {
		if l.isDown(nic) {
			down[nic.ID] = true
		}
		nic.Values[nicLink] = Flag(!down[nic.ID])
	}
	l.down = down
	l.sets = slices.DeleteFunc(l.sets, func(set linkSet) bool { return set.old })
}

func (l *links) isDown(nic Item) bool {
	down, netdev := l.down[nic.ID], nic.Values[nicNetdev].String()
	for _, set := range l.sets {
		if set.Name == nic.ID || set.Name == netdev && netdev != "" {
			down = !set.Up
		}
	}
	return down
}
