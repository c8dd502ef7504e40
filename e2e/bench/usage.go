package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// cpu is the CPU time that the process has used, all threads, also those that have ended, in
// nanoseconds of the kernel's own count (/proc/PID/stat has hundredths of a second).
func (p *process) cpu() (time.Duration, error) {
	// The clock id of another process's CPU time, as clock_getcpuclockid(3) makes it.
	const scheduled = 2 // CPUCLOCK_SCHED
	clock := int32(^p.cmd.Process.Pid<<3 | scheduled)
	var t unix.Timespec
	if err := unix.ClockGettime(clock, &t); err != nil {
		return 0, fmt.Errorf("CPU time of %s: %w", p.name, err)
	}
	return time.Duration(t.Nano()), nil
}

// memory is what a process holds, in MiB.
type memory struct {
	rss, anonymous, file float64 // VmRSS, RssAnon, RssFile
	pss                  float64 // its share of what others hold too
}

func (p *process) memory() (m memory, err error) {
	for _, f := range []struct {
		file, key string
		into      *float64
	}{
		{"status", "VmRSS:", &m.rss},
		{"status", "RssAnon:", &m.anonymous},
		{"status", "RssFile:", &m.file},
		{"smaps_rollup", "Pss:", &m.pss},
	} {
		if *f.into, err = p.kib(f.file, f.key); err != nil {
			return m, err
		}
	}
	return m, nil
}

// kib reads a line "KEY 123 kB" of a file of /proc/PID, as MiB.
func (p *process) kib(file, key string) (float64, error) {
	path := fmt.Sprintf("/proc/%d/%s", p.cmd.Process.Pid, file)
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(text), "\n"+key)
	value, _, _ := strings.Cut(rest, "kB")
	kib, err := strconv.Atoi(strings.TrimSpace(value))
	if err != nil {
		return 0, fmt.Errorf("%s of %s: %w", key, path, err)
	}
	return float64(kib) / 1024, nil
}

// loadAverage is how many processes wanted to run in the last minute.
func loadAverage() string {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	minute, _, _ := strings.Cut(string(text), " ")
	return minute
}
