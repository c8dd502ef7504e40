package action

import (
	_ "embed"
	"fmt"
	"strings"

	"qmp-dbus-bridge/bridge/spelling"
)

//go:embed methods.tsv
var methodsTSV string

var methods = parseMethods("methods.tsv", methodsTSV)

// method is a D-Bus method that runs a command.
type method struct {
	of      string // the interface: Block for org.qemu.VM1.Block, empty for org.qemu.VM1
	member  string
	command string
}

// OfMethod is the member that a method of the table is called by, and the command that it runs; of several commands, the first. The
// method is named as Block.Resize, or Pause, which is the VM's. The table is part of the program: a name that it does not have panics.
func OfMethod(name string) (member, command string) {
	of, member := splitMethod(name)
	for _, m := range methods {
		if m.of == of && m.member == member {
			return member, m.command
		}
	}
	panic(fmt.Sprintf("methods.tsv has no %s", name))
}

// Meant is which of these commands was meant by a name that is none: by the D-Bus method that runs it, which may be one of the table
// that is not among them, or by the spelling; "" if none was.
func Meant(name string, commands []string) string {
	for _, m := range methods {
		if m.member == name {
			return m.command
		}
	}
	if name != "" && 'A' <= name[0] && name[0] <= 'Z' { // as all members begin that are made of commands
		for _, command := range commands {
			if strings.EqualFold(separators.Replace(command), name) {
				return command
			}
		}
	}
	return spelling.Nearest(name, commands)
}

// separators are what parts the words of commands, and those of members do without.
var separators = strings.NewReplacer("-", "", "_", "", ".", "")

func splitMethod(name string) (of, member string) {
	if of, member, ok := strings.Cut(name, "."); ok {
		return of, member
	}
	return "", name
}

// parseMethods reads the table. A mistake in it panics at start.
func parseMethods(file, text string) (table []method) {
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		name, command, ok := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
		if !ok || !IsListed(command) {
			panic(fmt.Sprintf("%s: bad line %q", file, line))
		}
		of, member := splitMethod(name)
		table = append(table, method{of, member, command})
	}
	return table
}
