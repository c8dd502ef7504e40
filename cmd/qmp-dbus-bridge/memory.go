package main

import (
	"bufio"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// schedulerSlots is enough for the two readers, which block in system calls, and for what
	// else can run then; see the package comment of qmp/socket.
	// 4 cost the same latency and half as much again in CPU for large replies, because idle
	// collector threads take part; 2 stall (make bench).
	schedulerSlots = 3
	// settleTime is how long after the start its memory is given back: earlier, the first
	// calls and the end of the start bring most of it in again.
	settleTime = time.Second
)

// tuneRuntime fits Go's runtime to a small process that waits most of its time. The collector
// stays as it is: at GOGC=50 a large reply cost twice the CPU, for 3 MiB less under load.
func tuneRuntime() { runtime.GOMAXPROCS(schedulerSlots) }

// mapping is a part of the address space.
type mapping struct{ start, length uintptr }

// releaseMemory gives back what only the start needed: free heap pages, and the pages of
// the program itself, of which a fault brings in 64 KiB at a time. Those that serving needs come
// back from the page cache when they are used. Resident memory of an idle bridge went from 11.3
// to 5.9 MiB by it (Linux 6.18, x86-64).
func releaseMemory(program []mapping) error {
	debug.FreeOSMemory()
	for _, part := range program {
		// Private pages of a file that were never written to are read again from it.
		if _, _, errno := unix.Syscall(unix.SYS_MADVISE, part.start, part.length, unix.MADV_DONTNEED); errno != 0 {
			return os.NewSyscallError("madvise", errno)
		}
	}
	return nil
}

// programMappings are the parts of the program that nobody has written to, nor can: what the
// dynamic linker of a program with C code relocates is made read-only afterwards. They stay
// where they are as long as the program runs.
func programMappings() ([]mapping, error) {
	self, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return nil, err
	}
	maps, err := os.Open("/proc/self/smaps")
	if err != nil {
		return nil, err
	}
	defer maps.Close()
	var (
		program []mapping
		last    mapping // the one that the lines are about, if it is one of those
	)
	lines := bufio.NewScanner(maps)
	for lines.Scan() {
		var (
			line        = lines.Text()
			start, end  uintptr
			permissions string
		)
		if _, err := fmt.Sscanf(line, "%x-%x %s", &start, &end, &permissions); err == nil {
			last = mapping{}
			if strings.HasSuffix(line, " "+self) && !strings.Contains(permissions, "w") {
				last = mapping{start, end - start}
			}
		} else if last.length > 0 && strings.Join(strings.Fields(line), " ") == "Anonymous: 0 kB" {
			program = append(program, last)
		}
	}
	return program, lines.Err()
}
