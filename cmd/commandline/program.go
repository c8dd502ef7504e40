package commandline

import (
	"context"
	"errors"
	"os"
	"reflect"
)

// Program is what has a command line.
type Program struct {
	Name    string
	Help    string            // what it is for, a sentence
	Version string            // what --version prints
	Vars    map[string]string // what ${NAME} stands for in tags
}

// Command is what a command line can ask for.
type Command interface {
	Run(context.Context) error
}

// Checked is a command that knows of mistakes that the tags don't tell. Parse asks it at the end.
type Checked interface {
	Check() error
}

// Error is a mistake in a command line.
type Error struct {
	Command string // which was understood before, like "policy check"; "" for none
	Err     error
}

func (e *Error) Error() string { return e.Err.Error() }

func (e *Error) Unwrap() error { return e.Err }

// Parse reads a command line into the struct that root points to, and returns the command that it asks for: a field of
// root's, or what prints the help or the version. Its errors are all of type *Error.
func (p Program) Parse(root any, args []string) (Command, error) {
	r := reader{program: p, command: p.newCommand(nil, p.Help, reflect.ValueOf(root).Elem()), args: args}
	for len(r.args) > 0 && r.printed == nil {
		if err := r.next(); err != nil {
			return nil, r.fault(err)
		}
	}
	if r.printed != nil {
		return r.printed, nil
	}
	if err := r.command.complete(); err != nil {
		return nil, r.fault(err)
	}
	target := r.command.target.Addr().Interface()
	if checked, ok := target.(Checked); ok {
		if err := checked.Check(); err != nil {
			return nil, r.fault(err)
		}
	}
	command, ok := target.(Command)
	if !ok {
		return nil, r.fault(errors.New("this command does nothing yet"))
	}
	return command, nil
}

// text is a command that prints it.
type text string

// Run prints.
func (t text) Run(context.Context) error {
	_, err := os.Stdout.WriteString(string(t))
	return err
}
