package commandline

import (
	"errors"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"unicode"
)

// command is a struct and what its fields' tags say.
type command struct {
	path      []string // the names of the commands that it is in, and its own
	help      string
	target    reflect.Value
	commands  []*command
	flags     []*option
	arguments []*option
}

// option is a flag or an argument.
type option struct {
	name, help, placeholder string
	xor                     string
	enum                    []string // "" if anything goes
	required, passthrough   bool
	to                      reflect.Value
	given                   bool
}

// newCommand reads the tags of a struct. Defaults are set.
func (p Program) newCommand(path []string, help string, target reflect.Value) *command {
	c := &command{path: path, help: help, target: target}
	p.addFields(c, target)
	return c
}

func (p Program) addFields(c *command, target reflect.Value) {
	for i := range target.NumField() {
		field := target.Type().Field(i)
		help, explained := field.Tag.Lookup("help")
		switch {
		case has(field.Tag, "embed"):
			p.addFields(c, target.Field(i))
		case has(field.Tag, "cmd"):
			path := append(slices.Clip(c.path), nameOf(field))
			c.commands = append(c.commands, p.newCommand(path, p.expand(help), target.Field(i)))
		case has(field.Tag, "arg"):
			c.arguments = append(c.arguments, p.newOption(field, target.Field(i)))
		case explained:
			c.flags = append(c.flags, p.newOption(field, target.Field(i)))
		}
	}
}

func (p Program) newOption(field reflect.StructField, to reflect.Value) *option {
	tag := field.Tag
	o := &option{
		name: nameOf(field), help: p.expand(tag.Get("help")), placeholder: tag.Get("placeholder"), xor: tag.Get("xor"),
		required: has(tag, "required") || has(tag, "arg") && !has(tag, "optional"), passthrough: has(tag, "passthrough"), to: to,
	}
	if values, limited := tag.Lookup("enum"); limited {
		o.enum = strings.Split(values, ",")
	}
	if value, ok := tag.Lookup("default"); ok {
		value = p.expand(value)
		if o.placeholder == "" {
			o.placeholder = value
		}
		if err := o.set(value, true); err != nil {
			panic(fmt.Sprintf("%s: default: %v", field.Name, err)) // a mistake in the program
		}
		o.given = false
	}
	return o
}

func has(tag reflect.StructTag, key string) bool {
	_, ok := tag.Lookup(key)
	return ok
}

// nameOf is the name of a field on the command line: BusDir is bus-dir.
func nameOf(field reflect.StructField) string {
	if name := field.Tag.Get("name"); name != "" {
		return name
	}
	var b strings.Builder
	for i, r := range field.Name {
		if unicode.IsUpper(r) && i > 0 {
			b.WriteByte('-')
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}

// expand puts in what ${NAME} stands for.
func (p Program) expand(text string) string {
	return os.Expand(text, func(name string) string {
		if name == "$" {
			return "$"
		}
		return p.Vars[name]
	})
}

// takesAll tells whether whatever comes next is the argument's.
func (c *command) takesAll() bool { return len(c.arguments) > 0 && c.arguments[0].passthrough }

// flag is the flag of that name, or nil.
func (c *command) flag(name string) *option {
	for _, o := range c.flags {
		if o.name == name {
			return o
		}
	}
	return nil
}

// complete finds what lacks, and what excludes each other.
func (c *command) complete() error {
	if len(c.commands) > 0 {
		var names []string
		for _, sub := range c.commands {
			names = append(names, sub.name())
		}
		return fmt.Errorf("expected one of %s", quoted(names))
	}
	var missing []string
	first := map[string]*option{} // that was given, of each group
	for _, o := range c.flags {
		if o.required && !o.given {
			missing = append(missing, o.usage())
		}
		if o.xor == "" || !o.given {
			continue
		}
		if other := first[o.xor]; other != nil {
			return fmt.Errorf("--%s and --%s can't be used together", other.name, o.name)
		}
		first[o.xor] = o
	}
	if missing != nil {
		return fmt.Errorf("missing flags: %s", strings.Join(missing, ", "))
	}
	for _, o := range c.arguments {
		if o.required && !o.given {
			return errors.New(`expected "` + o.usageAsArgument() + `"`)
		}
	}
	return nil
}

// name is the command's own.
func (c *command) name() string { return c.path[len(c.path)-1] }

func quoted(names []string) string { return `"` + strings.Join(names, `", "`) + `"` }
