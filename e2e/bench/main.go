package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"qmp-dbus-bridge/e2e/bench/figure"
)

// threads is GOMAXPROCS here: above the number of our threads in a flood, so that it is the kernel that
// shares out the cores, as between processes.
const threads = 16 + manyClients

type options struct {
	bridge, qemu  string
	parts         string
	rounds, burst int
	budget        time.Duration
}

func main() {
	runtime.LockOSThread() // the children die with the thread that starts them
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run() error {
	if len(os.Args) > 1 {
		if role, ok := roles[os.Args[1]]; ok {
			return role(os.Args[2:])
		}
	}
	var o options
	flag.StringVar(&o.bridge, "bridge", "bin/qmp-dbus-bridge", "the bridge's `program`")
	flag.StringVar(&o.qemu, "qemu", "qemu-system-x86_64", "QEMU's `program`")
	flag.IntVar(&o.rounds, "rounds", 9, "`number` of rounds")
	flag.StringVar(&o.parts, "parts", strings.Join(partNames, ","), "the `parts` to measure; a row whose base is in another has no ratio")
	flag.DurationVar(&o.budget, "budget", 140*time.Second, "no further round begins that would probably end after so long")
	flag.IntVar(&o.burst, "burst", 10000, "`number` of events in the burst")
	flag.Parse()
	if flag.NArg() > 0 || o.rounds < 1 || o.burst < 0 {
		return errors.New("want only flags, and at least one round (-help tells more)")
	}
	if err := checkParts(o.parts); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	return bench(ctx, o)
}

// bench measures everything and prints it.
func bench(ctx context.Context, o options) (err error) {
	runtime.GOMAXPROCS(threads)
	debug.SetGCPercent(-1) // collected between the rounds only
	began, load := time.Now(), loadAverage()
	s, err := newStage(ctx, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	values, err := idleValues(ctx, s)
	if err != nil {
		return err
	}
	if err := s.startOwnBus(); err != nil {
		return err
	}
	parts, err := newParts(s)
	if err != nil {
		return s.explain(err)
	}
	rounds, err := measure(ctx, o, parts)
	if err != nil {
		return s.explain(err)
	}
	more, err := finalValues(ctx, s, parts, o.burst)
	if err != nil {
		return s.explain(err)
	}
	report(s, parts, append(values, more...))
	fmt.Printf("\n%d rounds in %.0f s, %d cores, load %s before and %s after.\n",
		rounds, time.Since(began).Seconds(), runtime.NumCPU(), load, loadAverage())
	return nil
}

// measure runs rounds, at least one, and tells how many.
func measure(ctx context.Context, o options, parts []part) (rounds int, err error) {
	for began := time.Now(); rounds < o.rounds; rounds++ {
		spent := time.Since(began)
		if rounds > 0 && spent+spent/time.Duration(rounds) > o.budget {
			break
		}
		fmt.Fprintf(os.Stderr, "round %d of %d\n", rounds+1, o.rounds)
		runtime.GC()
		for _, p := range parts {
			if err := errors.Join(p.round(rounds), ctx.Err()); err != nil {
				return rounds, err
			}
		}
	}
	return rounds, nil
}

func report(s *stage, parts []part, values []figure.Value) {
	var rows []*figure.Row
	for _, p := range parts {
		rows = append(rows, p.rows()...)
	}
	fmt.Printf("%s\n\n%s\n%s", s.versions, figure.Table(rows), figure.ValueTable(values))
}
