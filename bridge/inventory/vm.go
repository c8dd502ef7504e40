package inventory

import "strings"

// runStatus is the part of QEMU's StatusInfo that is shown.
type runStatus struct {
	Status  string `json:"status"`
	Running bool   `json:"running"`
}

// finishing is the status in which a migration's source ends. It turns into postmigrate, or back into running, after
// the last MIGRATION event, and the former without an event of its own (7.2's migration_iteration_finish).
const finishing = "finish-migrate"

// readStatus reads the status, and whether it is one that goes without an event.
func readStatus(reply []byte) (Reading, error) {
	moving := false
	r, err := facts(func(told runStatus) []Value {
		moving = told.Status == finishing
		return []Value{Text(told.Status), Flag(told.Running)}
	})(reply)
	r.Moving = moving
	return r, err
}

// readMachine reads the QOM type of the machine, which is its name with an end that all have.
func readMachine(told string) []Value { return []Value{Text(strings.TrimSuffix(told, "-machine"))} }

type kvm struct {
	Enabled bool `json:"enabled"`
}

// readAccelerator tells KVM from TCG, which is what QEMU runs on without it: no command of 7.2 or 10.0 tells more.
func readAccelerator(told kvm) []Value {
	if told.Enabled {
		return []Value{Text("kvm")}
	}
	return []Value{Text("tcg")}
}

type memorySize struct {
	Base    uint64 `json:"base-memory"`
	Plugged uint64 `json:"plugged-memory"`
}

func readMemorySize(told memorySize) []Value { return []Value{Number(told.Base + told.Plugged)} }

type balloon struct {
	Actual uint64 `json:"actual"`
}

func readBalloon(told balloon) []Value { return []Value{Number(told.Actual)} }
