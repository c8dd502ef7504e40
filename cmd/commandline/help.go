package commandline

import (
	"fmt"
	"iter"
	"strings"
)

// How wide help is, and where what is said about a flag begins at most.
const (
	helpWidth  = 80
	mostIndent = 35
)

// describe is a command's help.
func (p Program) describe(c *command) string {
	var b strings.Builder
	fmt.Fprintf(&b, "Usage: %s\n\n", p.usage(c))
	writeWrapped(&b, c.help, 0)
	flags := []row{{"-h, --help", "Print this help and exit."}, {"    --version", "Print the version and exit."}}
	for _, o := range c.flags {
		flags = append(flags, row{"    " + o.usage(), o.help})
	}
	var arguments []row
	for _, o := range c.arguments {
		arguments = append(arguments, row{o.usageAsArgument(), o.help})
	}
	writeRows(&b, "Arguments", arguments)
	writeRows(&b, "Flags", flags)
	p.writeCommands(&b, c)
	return b.String()
}

// writeCommands writes the commands in c, each with what it is for.
func (p Program) writeCommands(b *strings.Builder, c *command) {
	separator := "\nCommands:\n"
	for sub := range c.leaves() {
		fmt.Fprintf(b, "%s  %s\n    ", separator, strings.TrimPrefix(p.usage(sub), p.Name+" "))
		writeWrapped(b, sub.help, 4)
		separator = "\n"
	}
}

// leaves are the commands in c that have none in them.
func (c *command) leaves() iter.Seq[*command] {
	return func(yield func(*command) bool) {
		for _, sub := range c.commands {
			if len(sub.commands) == 0 && !yield(sub) {
				return
			}
			for leaf := range sub.leaves() {
				if !yield(leaf) {
					return
				}
			}
		}
	}
}

// usage is how a command is called.
func (p Program) usage(c *command) string {
	words := append([]string{p.Name}, c.path...)
	if len(c.commands) > 0 {
		words = append(words, "<command>")
	}
	for _, o := range c.flags {
		if o.required {
			words = append(words, o.usage())
		}
	}
	for _, o := range c.arguments {
		words = append(words, o.usageAsArgument())
	}
	return strings.Join(append(words, "[flags]"), " ")
}

// usage is how a flag is given.
func (o *option) usage() string {
	if o.isSwitch() {
		return "--" + o.name
	}
	return "--" + o.name + "=" + o.placeholder
}

// usageAsArgument is how an argument is given.
func (o *option) usageAsArgument() string {
	usage := "<" + o.name + ">"
	if o.isList() {
		usage += " ..."
	}
	if !o.required {
		usage = "[" + usage + "]"
	}
	return usage
}

// row is an option and what it is for.
type row struct{ usage, help string }

// writeRows writes a table.
func writeRows(b *strings.Builder, title string, rows []row) {
	if len(rows) == 0 {
		return
	}
	indent := 0
	for _, r := range rows {
		if width := len("  " + r.usage + "    "); width <= mostIndent {
			indent = max(indent, width)
		}
	}
	fmt.Fprintf(b, "\n%s:\n", title)
	for _, r := range rows {
		left := "  " + r.usage
		if len(left) > indent-len("    ") {
			left += "\n"
			b.WriteString(left)
			left = ""
		}
		fmt.Fprintf(b, "%-*s", indent, left)
		writeWrapped(b, r.help, indent)
	}
}

// writeWrapped writes text from the column indent on, in lines of helpWidth.
func writeWrapped(b *strings.Builder, text string, indent int) {
	column := indent
	for i, word := range strings.Fields(text) {
		switch {
		case i == 0:
		case column+len(" ")+len(word) > helpWidth:
			fmt.Fprintf(b, "\n%*s", indent, "")
			column = indent
		default:
			b.WriteByte(' ')
			column++
		}
		b.WriteString(word)
		column += len(word)
	}
	b.WriteByte('\n')
}
