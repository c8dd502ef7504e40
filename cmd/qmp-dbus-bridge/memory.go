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

// releaseMemory gives back what only the start needed: free heap pages, and the pages of
// the program itself, of which a fault brings in 64 KiB at a time. Those that serving needs come
// back from the page cache when they are used. Resident memory of an idle bridge went from 11.3
// to 5.9 MiB by it (Linux 6.18, x86-64).
func releaseMemory() error {
	debug.FreeOSMemory()
	self, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return err
	}
	maps, err := os.Open("/proc/self/maps")
	if err != nil {
		return err
	}
	defer maps.Close()
	lines := bufio.NewScanner(maps)
	for lines.Scan() {
		if err := releaseMapping(lines.Text(), self); err != nil {
			return err
		}
	}
	return lines.Err()
}

// releaseMapping drops the pages of one line of /proc/self/maps, if that is a part of the
// program that nobody can have written to.
func releaseMapping(line, program string) error {
	var (
		start, end  uintptr
		permissions string
	)
	if !strings.HasSuffix(line, " "+program) {
		return nil
	}
	if _, err := fmt.Sscanf(line, "%x-%x %s", &start, &end, &permissions); err != nil {
		return err
	}
	if strings.Contains(permissions, "w") {
		return nil
	}
	// Private pages of a file that were never written to are read again from it.
	if _, _, errno := unix.Syscall(unix.SYS_MADVISE, start, end-start, unix.MADV_DONTNEED); errno != 0 {
		return os.NewSyscallError("madvise", errno)
	}
	return nil
}
