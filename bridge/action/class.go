package action

import (
	_ "embed"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Class is the risk class of an action: what doing it can lead to.
type Class string

// The classes, as they stand in the tables and, after "class:", in policies.
const (
	ClassRead           Class = "read"            // state of the VM, nothing of the host
	ClassSensitiveRead  Class = "sensitive-read"  // host paths, addresses, contents of memory
	ClassLifecycle      Class = "lifecycle"       // pause, resume, reset, power down
	ClassInput          Class = "input"           // keys and pointer
	ClassDevice         Class = "device"          // the guest's devices, with what QEMU has already
	ClassStorage        Class = "storage"         // jobs on images that are open already
	ClassNetwork        Class = "network"         // the guest's links
	ClassMigration      Class = "migration"       // a migration's progress and parameters
	ClassDebug          Class = "debug"           // tracing, replay, injected errors
	ClassHost           Class = "host"            // acts on the host with QEMU's authority
	ClassMonitorControl Class = "monitor-control" // the monitor connection and QEMU's end
)

var (
	//go:embed risk.tsv
	riskTSV string
	//go:embed events.tsv
	eventsTSV string

	classes = []Class{
		ClassRead, ClassSensitiveRead, ClassLifecycle, ClassInput, ClassDevice, ClassStorage,
		ClassNetwork, ClassMigration, ClassDebug, ClassHost, ClassMonitorControl,
	}
	commandClasses = parseClasses("risk.tsv", riskTSV)
	eventClasses   = parseClasses("events.tsv", eventsTSV)

	commands = slices.Sorted(maps.Keys(commandClasses))
)

// CommandClass is the class of a QMP command; ClassHost for one that is not known.
func CommandClass(command string) Class {
	if class, ok := commandClasses[command]; ok {
		return class
	}
	return ClassHost
}

// EventClass is the class that is needed to receive a QMP event; ClassSensitiveRead for one
// that is not known.
func EventClass(event string) Class {
	if class, ok := eventClasses[event]; ok {
		return class
	}
	return ClassSensitiveRead
}

// IsListed tells whether a command is in the table.
func IsListed(command string) bool { return commandClasses[command] != "" }

// IsListedEvent tells whether an event is in the table.
func IsListedEvent(event string) bool { return eventClasses[event] != "" }

// Commands are those of the table, sorted.
func Commands() []string { return slices.Clone(commands) }

// ClassOf is the class of an action by its name in policies and in the audit.
func ClassOf(name string) Class {
	switch event, ok := strings.CutPrefix(name, EventPrefix); {
	case ok:
		return EventClass(event)
	case name == readProperties, name == introspect, name == subscribe:
		return ClassRead
	}
	return CommandClass(name)
}

// Classes are all, in the order of the constants above.
func Classes() []Class { return slices.Clone(classes) }

// ID is what a class is called in policies: class:read.
func (c Class) ID() string { return ClassPrefix + string(c) }

// ClassTable has a line for each class, in their order, and each command and event in it, sorted, as policies name them:
// CLASS, tab, NAME. Commands that are not there are host, events sensitive-read.
func ClassTable() string {
	var text strings.Builder
	for _, class := range classes {
		for _, table := range []struct {
			prefix  string
			classes map[string]Class
		}{{"", commandClasses}, {EventPrefix, eventClasses}} {
			for _, name := range slices.Sorted(maps.Keys(table.classes)) {
				if table.classes[name] == class {
					fmt.Fprintf(&text, "%s\t%s%s\n", class, table.prefix, name)
				}
			}
		}
	}
	return text.String()
}

// parseClasses reads the first two columns of a table. The tables are part of the program:
// a mistake in them panics at start.
func parseClasses(file, text string) map[string]Class {
	table := make(map[string]Class)
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		columns := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		if len(columns) < 2 || !Class(columns[1]).known() || table[columns[0]] != "" {
			panic(fmt.Sprintf("%s: bad line %q", file, line))
		}
		table[columns[0]] = Class(columns[1])
	}
	return table
}

func (c Class) known() bool {
	return slices.Contains(classes, c)
}
