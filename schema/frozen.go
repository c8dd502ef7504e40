package schema

import (
	_ "embed"
	"strings"
)

// The frozen lists: what P of a command is (see [Command]), so that its signature
// stays as it is whatever QEMU's releases make optional. A command of the table
// keeps it until the interface gets another name.
//
//go:generate go run ./freeze -table frozen.tsv testdata/schemas
//go:embed frozen.tsv
var frozenTable string

// frozen is one line of the table.
type frozen struct {
	arguments []frozenArgument
	options   bool
}

// frozenArgument is one positional argument.
type frozenArgument struct{ name, signature string }

// legacy are positional arguments that some releases had and that are accepted
// still.
var legacy = map[string]string{"migrate": "uri", "migrate-incoming": "uri"}

// parseFrozen reads the table, which the tests have checked: lines of command,
// arguments as name:signature, whether there are options, result.
func parseFrozen() map[string]frozen {
	table := make(map[string]frozen, strings.Count(frozenTable, "\n"))
	for line := range strings.Lines(frozenTable) {
		command, rest, _ := strings.Cut(line, "\t")
		arguments, rest, _ := strings.Cut(rest, "\t")
		options, _, _ := strings.Cut(rest, "\t")
		f := frozen{options: options == "options"}
		for argument := range strings.FieldsSeq(arguments) {
			if name, signature, found := strings.Cut(argument, ":"); found {
				f.arguments = append(f.arguments, frozenArgument{name, signature})
			}
		}
		table[command] = f
	}
	return table
}
