package main

import (
	"fmt"
	"time"

	"qmp-dbus-bridge/e2e/bench/figure"
)

// What the furnished machine has of each: drives, which are devices too, network cards and CPUs.
const (
	furnishedDrives = 64
	furnishedNICs   = 8
	furnishedCPUs   = 64
)

const furnishedName = "bench.Furnished"

// Goals for such a machine.
const (
	managedTime     = 5   // ms, of GetManagedObjects
	furnishedTime   = 100 // ms, from exec to the state being known
	furnishedMemory = 3   // MiB, beside a bridge whose machine has nothing
)

// furnished measures a bridge of a machine that has much: reading what there is, and starting.
type furnished struct {
	*interleave
	stage            *stage
	vm, bridge       *process
	raw, start       *figure.Row
	memory, idleMore float64
}

func newFurnished(s *stage, c clients) (f *furnished, err error) {
	f = &furnished{stage: s}
	if _, err := s.startMachine(&f.vm, furnishedBridge, furnishedEnd, furniture()...); err != nil {
		return nil, err
	}
	if err := s.start(&f.bridge, bridgeReady, s.options.bridge, f.args(furnishedBridge, furnishedName)...); err != nil {
		return nil, err
	}
	if err := f.weigh(); err != nil {
		return nil, err
	}
	echo := &figure.Row{Name: "raw echo, beside the next"}
	f.interleave = &interleave{slices: 5, calls: 20, contenders: []contender{
		{echo, s.echo, over(c.bus, rawCall(echoName))},
		{
			&figure.Row{Name: f.describe("GetManagedObjects"), Base: echo, Goals: []figure.Goal{{Of: figure.Time, AtMost: managedTime}}},
			f.bridge, over(c.bus, newCall(furnishedName, vmPath, "org.freedesktop.DBus.ObjectManager", "GetManagedObjects", "", nil)),
		},
	}}
	f.raw = &figure.Row{Name: "raw start at that machine"}
	f.start = &figure.Row{
		Name: "start of the bridge at that machine", Base: f.raw,
		Goals: []figure.Goal{{Of: figure.Time, AtMost: furnishedTime}},
	}
	return f, nil
}

// weigh takes the memory of the bridge, and what it has beyond that of the machine with nothing: each when it had been asked
// nothing, and had had the time to give back what its start needed.
func (f *furnished) weigh() error {
	time.Sleep(idleTime)
	m, err := f.bridge.memory()
	f.memory, f.idleMore = m.rss, m.anonymous-f.stage.idle.anonymous
	return err
}

// furniture are QEMU's arguments for all that.
func furniture() []string {
	args := []string{"-S", "-smp", fmt.Sprint(furnishedCPUs), "-device", "virtio-scsi-pci,id=scsi0"}
	for i := range furnishedDrives {
		args = append(args,
			"-blockdev", fmt.Sprintf("null-co,node-name=n%d,size=1048576", i),
			"-device", fmt.Sprintf("scsi-hd,id=disk%d,drive=n%d", i, i))
	}
	for i := range furnishedNICs {
		args = append(args,
			"-netdev", fmt.Sprintf("hubport,id=net%d,hubid=0", i),
			"-device", fmt.Sprintf("virtio-net-pci,id=nic%d,netdev=net%d", i, i))
	}
	return args
}

func (f *furnished) describe(what string) string {
	return fmt.Sprintf("%s of %d drives, which are devices too, %d NICs, %d CPUs", what, furnishedDrives, furnishedNICs, furnishedCPUs)
}

func (f *furnished) args(monitor int, name string) []string {
	return f.stage.bridgeArgs(monitor, "--bus", "unix:path="+f.stage.bus, "--bus-name", name)
}

func (f *furnished) rows() []*figure.Row { return append(f.interleave.rows(), f.raw, f.start) }

func (f *furnished) round(number int) error {
	if err := f.interleave.round(number); err != nil {
		return err
	}
	var raw, bridge series
	for range startsPerRound {
		const name = "bench.FurnishedStart"
		if err := raw.start(roleReady, f.stage.self, roleStart, f.stage.bus, name, f.stage.monitor(furnishedStart)); err != nil {
			return named(f.raw, err)
		}
		if err := bridge.start(bridgeReady, f.stage.options.bridge, f.args(furnishedStart, name)...); err != nil {
			return named(f.start, err)
		}
	}
	f.raw.Add(raw.sample())
	f.start.Add(bridge.sample())
	return nil
}

func (f *furnished) values() []figure.Value {
	return []figure.Value{
		{Name: f.describe("RSS of a bridge"), Reached: f.memory, Unit: "MiB"},
		{
			Name: "of that anonymous, beyond an idle one of an empty machine", Reached: f.idleMore, Unit: "MiB",
			Goal: &figure.Goal{AtMost: furnishedMemory},
		},
	}
}
