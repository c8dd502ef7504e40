package inventory

import "strings"

// runStatus is the part of QEMU's StatusInfo that is shown.
type runStatus struct {
	Status  string `json:"status"`
	Running bool   `json:"running"`
}

func readStatus(told runStatus) []Value { return []Value{Text(told.Status), Flag(told.Running)} }

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
