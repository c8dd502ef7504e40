package main

import (
	"bufio"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

const (
	// schedulerSlots is enough for the two readers, which block in system calls, and for what
	// else can run then; see the package comment of qmp/socket.
	// 4 cost the same latency and half as much again in CPU for large replies, because idle
	// collector threads take part; 2 stall (make bench).
	schedulerSlots = 3
	// startMemory is what a start may take before the collector works: it takes some 8 MiB, and a QEMU may say more.
	startMemory = 32 << 20 // bytes
)

// tuneRuntime fits Go's runtime to a small process that waits most of its time. The collector
// stays as it is: at GOGC=50 a large reply cost twice the CPU, for 3 MiB less under load.
func tuneRuntime() { runtime.GOMAXPROCS(schedulerSlots) }

// delayCollection keeps the collector from working during a start, which took it a tenth of the CPU time, until resume is called:
// what the start leaves is given back by releaseMemory. It is called once in a process.
func delayCollection() (resume func()) {
	percent := debug.SetGCPercent(-1)
	limit := debug.SetMemoryLimit(startMemory)
	return sync.OnceFunc(func() {
		debug.SetGCPercent(percent)
		debug.SetMemoryLimit(limit)
	})
}

// mapping is a part of the address space.
type mapping struct{ start, length uintptr }

// releaseMemory gives back what only the start needed, or a load: free heap pages, and the pages of
// the program itself, of which a fault brings in 64 KiB at a time. Those that serving needs come
// back from the page cache when they are used. Resident memory of a bridge went from 16 to 5.7 MiB after a start,
// and to 8.4 once it had looked for helpers again; from 19 to 6.6 after large replies (Linux 6.18, x86-64).
func releaseMemory(program []mapping) error {
	runtime.GC() // of what is in a pool the first collection only takes note
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
		line := lines.Text()
		first, rest, _ := strings.Cut(line, " ")
		switch {
		case !strings.HasSuffix(first, ":"): // START-END PERMISSIONS ... FILE
			last = mapping{}
			permissions, _, _ := strings.Cut(rest, " ")
			if strings.HasSuffix(rest, " "+self) && !strings.Contains(permissions, "w") {
				last = parseMapping(first)
			}
		case last.length > 0 && first == "Anonymous:" && strings.TrimSpace(rest) == "0 kB":
			program = append(program, last)
		}
	}
	return program, lines.Err()
}

// parseMapping reads START-END as the kernel writes it; what it would not is empty.
func parseMapping(text string) mapping {
	from, to, _ := strings.Cut(text, "-")
	start, err := strconv.ParseUint(from, 16, 64)
	end, err2 := strconv.ParseUint(to, 16, 64)
	if err != nil || err2 != nil || end < start {
		return mapping{}
	}
	return mapping{uintptr(start), uintptr(end - start)}
}

// findMappings begins to look for programMappings, which takes some milliseconds, and returns what waits for them.
func findMappings() func() ([]mapping, error) {
	find := sync.OnceValues(programMappings)
	go find()
	return find
}
