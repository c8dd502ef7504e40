//go:build amd64 || arm64

package sandbox

import (
	"errors"
	"fmt"
	"runtime"
	"unsafe"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// What the kernel does with a call, as the filter returns it (seccomp(2)).
const (
	allow  = uint32(unix.SECCOMP_RET_ALLOW)
	refuse = uint32(unix.SECCOMP_RET_ERRNO) | uint32(unix.EPERM)
	absent = uint32(unix.SECCOMP_RET_ERRNO) | uint32(unix.ENOSYS)
	kill   = uint32(unix.SECCOMP_RET_KILL_PROCESS)
)

// Where the filter finds things in struct seccomp_data, bytes.
const (
	numberOffset   = 0
	machineOffset  = 4
	argumentOffset = 16 // the lower half of the first one, machines being little-endian
	argumentSize   = 8
	wordSize       = 4
)

// call is a system call that is allowed if all conditions on its arguments hold.
type call struct {
	number     uint32
	other      uint32 // what else is done
	conditions []condition
}

// condition is one on an argument, the first being 0. Its tests skip the instruction that follows them
// if it holds.
type condition struct {
	argument uint32
	tests    []bpf.Instruction
}

// confineCalls installs the filter of system calls, on all threads.
func (c Config) confineCalls() ([]Lack, error) {
	raw, err := bpf.Assemble(c.filter())
	if err != nil {
		return nil, fmt.Errorf("seccomp: %w", err)
	}
	var code []unix.SockFilter
	for _, i := range raw {
		code = append(code, unix.SockFilter{Code: i.Op, Jt: i.Jt, Jf: i.Jf, K: i.K})
	}
	program := unix.SockFprog{Len: uint16(len(code)), Filter: &code[0]}
	thread, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC,
		uintptr(unsafe.Pointer(&program)))
	runtime.KeepAlive(code)
	switch {
	case errno == unix.ENOSYS || errno == unix.EINVAL: // no such call, or no filters
		return []Lack{{"seccomp", "any system call stays possible"}}, nil
	case errno != 0:
		return nil, fmt.Errorf("seccomp: %w", errno)
	case thread != 0:
		return nil, errors.New("seccomp: a thread has a filter of its own")
	}
	return nil, nil
}

// filter is the program that decides on each call. Each call it knows has a few instructions of its
// own that end in a decision, so nothing depends on what another left in the machine's register.
// Newer kernels run it only for calls whose arguments count (since 5.11).
func (c Config) filter() []bpf.Instruction {
	program := []bpf.Instruction{
		bpf.LoadAbsolute{Off: machineOffset, Size: wordSize},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: machine, SkipTrue: 1},
		bpf.RetConstant{Val: kill}, // a 32-bit call, whose numbers are others
		bpf.LoadAbsolute{Off: numberOffset, Size: wordSize},
	}
	decide := func(decision uint32, numbers ...uint32) {
		for _, number := range numbers {
			program = append(program, block(number, bpf.RetConstant{Val: decision})...)
		}
	}
	decide(allow, usual...)
	decide(allow, ofLibc...)
	for _, one := range c.conditional() {
		var body []bpf.Instruction
		for _, condition := range one.conditions {
			body = append(body, bpf.LoadAbsolute{Off: argumentOffset + argumentSize*condition.argument, Size: wordSize})
			body = append(append(body, condition.tests...), bpf.RetConstant{Val: one.other})
		}
		program = append(program, block(one.number, append(body, bpf.RetConstant{Val: allow})...)...)
	}
	decide(absent, probed...)
	decide(kill, attacks...)
	decide(kill, oldAttacks...)
	return append(program, bpf.RetConstant{Val: refuse})
}

// block is run for one call only.
func block(number uint32, body ...bpf.Instruction) []bpf.Instruction {
	return append([]bpf.Instruction{bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: number, SkipTrue: uint8(len(body))}}, body...)
}

// is holds for an argument that is one of the values.
func is(values ...uint32) []bpf.Instruction {
	var all []bpf.Instruction
	for i, value := range values {
		all = append(all, bpf.JumpIf{Cond: bpf.JumpEqual, Val: value, SkipTrue: uint8(len(values) - i)})
	}
	return all
}

// lacks holds for an argument without any of the bits.
func lacks(bits uint32) []bpf.Instruction {
	return []bpf.Instruction{bpf.JumpIf{Cond: bpf.JumpBitsNotSet, Val: bits, SkipTrue: 1}}
}

// has holds for an argument with the bit.
func has(bit uint32) []bpf.Instruction {
	return []bpf.Instruction{bpf.JumpIf{Cond: bpf.JumpBitsSet, Val: bit, SkipTrue: 1}}
}
