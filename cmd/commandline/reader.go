package commandline

import (
	"errors"
	"fmt"
	"strings"

	"qmp-dbus-bridge/bridge/spelling"
)

// reader goes through a command line.
type reader struct {
	program   Program
	command   *command // that was found so far
	args      []string // that are left
	arguments int      // how many have been found
	flagsDone bool     // after --
	printed   Command  // the help or the version, if it is asked for
}

func (r *reader) fault(err error) error {
	return &Error{Command: strings.Join(r.command.path, " "), Err: err}
}

// next reads what comes next.
func (r *reader) next() error {
	arg := r.args[0]
	if r.flagsDone || len(arg) < 2 || arg[0] != '-' {
		return r.word(arg)
	}
	name, long := strings.CutPrefix(arg, "--")
	name, value, given := strings.Cut(name, "=")
	o := r.command.flag(name)
	switch {
	case arg == "--" && !r.command.takesAll():
		r.args, r.flagsDone = r.args[1:], true
	case arg == "-h" || long && name == "help":
		r.printed = text(r.program.describe(r.command))
	case long && name == "version":
		r.printed = text(r.program.Version + "\n")
	case long && o != nil:
		return r.flag(o, value, given)
	case r.command.takesAll():
		return r.word(arg)
	default:
		return r.unknown(arg)
	}
	return nil
}

// word reads what is no flag.
func (r *reader) word(arg string) error {
	if len(r.command.commands) > 0 {
		return r.choose(arg)
	}
	return r.argument(arg)
}

// flag reads a flag, whose value may be the next argument.
func (r *reader) flag(o *option, value string, given bool) error {
	r.args = r.args[1:]
	if !given && !o.isSwitch() {
		if len(r.args) == 0 {
			return fmt.Errorf("--%s: want a value", o.name)
		}
		if value = r.args[0]; len(value) > 1 && value[0] == '-' {
			return fmt.Errorf("--%s: want a value, not %q; if that is one: --%s=%s", o.name, value, o.name, value)
		}
		r.args, given = r.args[1:], true
	}
	if err := o.set(value, given); err != nil {
		return fmt.Errorf("--%s: %w", o.name, err)
	}
	return nil
}

// unknown says which flag was meant.
func (r *reader) unknown(arg string) error {
	name, _, _ := strings.Cut(arg, "=")
	var known []string
	for _, o := range r.command.flags {
		known = append(known, "--"+o.name)
	}
	return errors.New("unknown flag " + name + meant(name, known))
}

// choose finds the command of that name.
func (r *reader) choose(name string) error {
	var known []string
	for _, c := range r.command.commands {
		if c.name() == name {
			r.command, r.args = c, r.args[1:]
			return nil
		}
		known = append(known, c.name())
	}
	return errors.New("unexpected argument " + name + meant(name, known))
}

// argument takes one that is no flag, or all that are left.
func (r *reader) argument(value string) error {
	if r.arguments == len(r.command.arguments) {
		return errors.New("unexpected argument " + value)
	}
	o := r.command.arguments[r.arguments]
	if !o.isList() {
		r.arguments++
	}
	if o.passthrough {
		r.flagsDone = true
	}
	r.args = r.args[1:]
	if err := o.set(value, true); err != nil {
		return fmt.Errorf("%s: %w", o.usageAsArgument(), err)
	}
	return nil
}

func meant(name string, known []string) string {
	if nearest := spelling.Nearest(name, known); nearest != "" {
		return fmt.Sprintf(", did you mean %q?", nearest)
	}
	return ""
}
