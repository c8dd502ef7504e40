package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// table is the lines of the file by command.
type table map[string]line

// line is what is frozen of one command.
type line struct {
	arguments []argument
	options   bool   // there are other members
	result    string // signature, "" if there is none
}

type argument struct{ name, signature string }

const header = "# command\targuments\toptions\tresult\n"

func parseTable(text string) (table, error) {
	t := make(table)
	for row := range strings.Lines(strings.TrimPrefix(text, header)) {
		fields := strings.Split(strings.TrimSuffix(row, "\n"), "\t")
		if len(fields) != 4 {
			return nil, fmt.Errorf("not four fields: %q", row)
		}
		l := line{options: fields[2] == "options", result: strings.TrimPrefix(fields[3], "-")}
		for field := range strings.FieldsSeq(strings.TrimPrefix(fields[1], "-")) {
			name, signature, _ := strings.Cut(field, ":")
			l.arguments = append(l.arguments, argument{name, signature})
		}
		t[fields[0]] = l
	}
	return t, nil
}

// String returns the file, sorted by command.
func (t table) String() string {
	var b strings.Builder
	b.WriteString(header)
	for _, command := range slices.Sorted(maps.Keys(t)) {
		l := t[command]
		arguments := make([]string, len(l.arguments))
		for i, a := range l.arguments {
			arguments[i] = a.name + ":" + a.signature
		}
		options := ""
		if l.options {
			options = "options"
		}
		fmt.Fprintf(&b, "%s\t%s\t%s\t%s\n", command, dash(strings.Join(arguments, " ")), dash(options), dash(l.result))
	}
	return b.String()
}

func dash(field string) string {
	if field == "" {
		return "-"
	}
	return field
}
