package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"

	"qmp-dbus-bridge/bridge"
	"qmp-dbus-bridge/bridge/bus"
	"qmp-dbus-bridge/bridge/patient"
	"qmp-dbus-bridge/bridge/policytext"
)

// Exit statuses; `run` ends with QEMU's own where that has one.
const (
	exitFailed = 1
	exitUsage  = 2
)

// commandLine is what the program understands.
type commandLine struct {
	Serve      serveCommand      `cmd:"" help:"Show a running QEMU on a D-Bus."`
	Run        runCommand        `cmd:"" help:"Start QEMU and show it on a D-Bus until it ends."`
	BusConfig  busConfigCommand  `cmd:"" help:"Print the configuration of a private bus, for a dbus-daemon or dbus-broker that is started otherwise."`
	Introspect introspectCommand `cmd:"" help:"Print the D-Bus introspection data that a QEMU gets, without a bus."`
	Policy     policyCommand     `cmd:"" help:"Show and check policies, and explain what they decide."`
	Version    kong.VersionFlag  `help:"Print the version and exit."`
}

// command is what all commands of commandLine are.
type command interface {
	Run(context.Context) error
}

func main() {
	tuneRuntime()
	// Who reads our output may go: then writing fails, which is no reason to die. Unlike an
	// ignored signal, this is not inherited by QEMU.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	os.Exit(run(os.Args[1:]))
}

func run(args []string) int {
	var c commandLine
	parser, err := kong.New(&c,
		kong.Name("qmp-dbus-bridge"),
		kong.Description("Shows a QEMU virtual machine as org.qemu.VM1 on a D-Bus of its own."),
		kong.Vars{
			"version": version(), "bus_name": bus.DefaultBusName, "object_path": bridge.DefaultObjectPath,
			"limits": bridge.LimitNames(), "uid": strconv.Itoa(os.Geteuid()),
			"examples": strings.Join(policytext.ExampleNames(), ", "),
		},
	)
	if err != nil {
		return report(err, exitFailed)
	}
	parsed, err := parser.Parse(args)
	if err != nil {
		return report(usageError(err), exitUsage)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	// Not by parsed.Run, which would keep what the parser knows of all commands for as long as this one runs.
	chosen := parsed.Selected().Target.Addr().Interface().(command)
	return conclude(chosen.Run(ctx))
}

// usageError says where more is told about a command line that is wrong.
func usageError(err error) error {
	command := "qmp-dbus-bridge"
	if parse, ok := errors.AsType[*kong.ParseError](err); ok {
		named, _, _ := strings.Cut(parse.Context.Command(), " <") // without its arguments
		command = strings.TrimSpace(command + " " + named)
	}
	return fmt.Errorf("%w (%s --help tells more)", err, command)
}

// conclude reports what failed and returns the exit status: QEMU's own where it has one.
func conclude(err error) int {
	status := 0
	for _, err := range parts(err) {
		if ending, ok := err.(*exitError); ok {
			status = ending.status
			continue
		}
		report(err, exitFailed)
		status = cmp.Or(status, exitFailed)
	}
	return status
}

// parts takes joined errors apart.
func parts(err error) []error {
	if err == nil {
		return nil
	}
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return []error{err}
	}
	var all []error
	for _, err := range joined.Unwrap() {
		all = append(all, parts(err)...)
	}
	return all
}

// report tells what is wrong in one line.
func report(err error, status int) int {
	log := patient.New(os.Stderr, "qmp-dbus-bridge")
	fmt.Fprintln(log, "qmp-dbus-bridge:", oneLine(err))
	log.Close()
	return status
}

// exitError ends the program with the status of another.
type exitError struct{ status int }

func (e *exitError) Error() string { return fmt.Sprintf("exit status %d", e.status) }

// version is that of the module, which go install and release builds record.
func version() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(devel)"
}
