package main

import (
	"fmt"
	"os"
	"runtime"
	"strconv"

	"golang.org/x/sys/unix"

	"qmp-dbus-bridge/e2e/bench/figure"
)

// pinned measures another part with every process kept on one core: client and services on
// one, the bus and QEMU on another, so that each hand-over crosses from one to the other. Which core a
// process is woken on then no longer decides what a round trip takes.
type pinned struct {
	stage *stage
	part
}

func (p *pinned) round(number int) error {
	var any, front, back unix.CPUSet
	if err := unix.SchedGetaffinity(0, &any); err != nil {
		return os.NewSyscallError("sched_getaffinity", err)
	}
	cores := coresOf(&any)
	if len(cores) < 2 {
		return nil // the rows stay empty
	}
	front.Set(cores[0])
	back.Set(cores[1])
	if err := p.place(&front, &back); err != nil {
		return err
	}
	err := p.part.round(number)
	if placing := p.place(&any, &any); err == nil {
		err = placing
	}
	return err
}

// place puts ourselves and the services on the cores of front, the bus and QEMU on those of back.
func (p *pinned) place(front, back *unix.CPUSet) error {
	if err := unix.SchedSetaffinity(0, front); err != nil { // this thread, which makes the calls
		return os.NewSyscallError("sched_setaffinity", err)
	}
	for _, one := range p.stage.all {
		cores := front
		if one == p.stage.vm || one == p.stage.daemon {
			cores = back
		}
		if err := one.keepOn(cores); err != nil {
			return err
		}
	}
	return nil
}

// keepOn has all threads of a process run on these cores only; those to come inherit it.
func (p *process) keepOn(cores *unix.CPUSet) error {
	tasks, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", p.cmd.Process.Pid))
	if err != nil {
		return err
	}
	for _, t := range tasks {
		id, err := strconv.Atoi(t.Name())
		if err != nil {
			return err
		}
		// One that ended meanwhile needs no place.
		if err := unix.SchedSetaffinity(id, cores); err != nil && err != unix.ESRCH {
			return os.NewSyscallError("sched_setaffinity", err)
		}
	}
	return nil
}

func coresOf(set *unix.CPUSet) (cores []int) {
	for core := range 8 * runtime.NumCPU() { // numbers may have gaps
		if set.IsSet(core) {
			cores = append(cores, core)
		}
	}
	return cores
}

// newPinned are the most important small calls again.
func newPinned(s *stage, c clients) *pinned {
	echo := &figure.Row{Name: "raw echo, pinned"}
	forwarder := &figure.Row{Name: "raw forwarder, pinned"}
	return &pinned{s, &interleave{slices: 10, calls: 150, contenders: []contender{
		{echo, s.echo, over(c.bus, rawCall(echoName))},
		{forwarder, s.forwarder, over(c.bus, rawCall(forwarderName))},
		{&figure.Row{Name: "Get Status, pinned", Base: echo, Goals: getGoals}, s.bridge, over(c.bus, statusGet())},
		{
			&figure.Row{Name: "Call query-status, pinned", Base: forwarder, Goals: callGoals},
			s.bridge, over(c.bus, qmpCall("query-status")),
		},
	}}}
}
