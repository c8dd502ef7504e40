package fdarg

import (
	"fmt"
	"slices"
	"strings"

	"qmp-dbus-bridge/schema"
)

// Placed are a command's arguments with descriptors in them.
type Placed struct {
	Decided []byte // what they are decided as
	Args    []Arg  // in their order there
}

// Arg is an argument that descriptors are given for.
type Arg struct {
	Use     Use
	Taken   bool     // QEMU does not know its name any more when the command has succeeded
	Indexes []uint32 // among the descriptors of the message; one, but of a list of names

	from, to int // what the name takes the place of in Decided
}

// Place finds what the descriptors are for that package schema has found in the arguments of a command. fds are all that came with
// the call; they are looked at only. Every one has to be given once. Errors are *schema.ArgumentError.
func Place(command string, arguments []byte, given []schema.Descriptor, fds []int) (Placed, error) {
	if len(given) == 0 {
		return Placed{Decided: arguments}, complete(command, nil, fds)
	}
	var p Placed
	t, rest, done := treeOf(arguments), given, 0
	var wrong error
	each(arguments, func(s spot) bool {
		if len(rest) == 0 {
			return false
		}
		if rest[0].Start != s.start {
			return true
		}
		n := 1
		for n < len(rest) && rest[n].Start == s.start {
			n++
		}
		m := memberAt(command, t, s.path)
		if wrong = check(command, m, t, s.path, rest[:n], fds); wrong != nil {
			return false
		}
		p.Decided = append(p.Decided, arguments[done:s.start]...)
		done = s.end
		p.add(m, rest[:n])
		rest = rest[n:]
		return true
	})
	if wrong == nil && len(rest) > 0 {
		wrong = faultf(command, nil, "a file descriptor is in no string")
	}
	if wrong != nil {
		return Placed{}, wrong
	}
	p.Decided = append(p.Decided, arguments[done:]...)
	return p, complete(command, given, fds)
}

// add writes an argument as it is decided.
func (p *Placed) add(m *member, given []schema.Descriptor) {
	a := Arg{Use: m.use, Taken: m.taken}
	for _, g := range given {
		a.Indexes = append(a.Indexes, g.Index)
	}
	p.Decided = append(p.Decided, '"')
	a.from = len(p.Decided)
	marker := markerName
	if m.use.IsSet() {
		marker = markerSet
	}
	p.Decided = append(p.Decided, marker...)
	a.to = len(p.Decided)
	if m.prefix || m.use.IsSet() {
		a.from = a.to
	}
	p.Decided = append(p.Decided, '"')
	p.Args = append(p.Args, a)
}

// Named are the arguments with names, one for each of Args: of a set its number, of a list the names with colons between. There must
// be nothing in them that JSON escapes.
func (p *Placed) Named(names []string) []byte {
	var arguments []byte
	done := 0
	for i, a := range p.Args {
		arguments = append(append(arguments, p.Decided[done:a.from]...), names[i]...)
		done = a.to
	}
	return append(arguments, p.Decided[done:]...)
}

// check tells what is wrong with the descriptors of one argument.
func check(command string, m *member, t tree, place []string, given []schema.Descriptor, fds []int) error {
	switch {
	case m == nil:
		return faultf(command, place, "no file descriptor is taken here; %s", takers(command))
	case m.instead != "":
		return faultf(command, place, "a file descriptor is of no use here: %s", m.instead)
	case len(given) > 1 && !m.list:
		return faultf(command, place, "%d file descriptors for one name", len(given))
	}
	for _, g := range given {
		if int(g.Index) >= len(fds) {
			return faultf(command, place, "the message has %d file descriptors, and this is number %d", len(fds), g.Index)
		}
		is, fault := stateOf(fds[g.Index])
		if fault == "" {
			fault = m.wants(is, t, place)
		}
		if fault != "" {
			return faultf(command, place, "%s", fault)
		}
	}
	return nil
}

// complete tells whether each descriptor is given, and once: of one that is not, nothing would come.
func complete(command string, given []schema.Descriptor, fds []int) error {
	used := make([]bool, len(fds))
	for _, g := range given {
		if used[g.Index] {
			return faultf(command, nil, "the file descriptor %d of the message is given twice; pass a copy (dup) for the second", g.Index)
		}
		used[g.Index] = true
	}
	if i := slices.Index(used, false); i >= 0 {
		return faultf(command, nil, "the file descriptor %d of the message is no argument; %s", i, takers(command))
	}
	return nil
}

// takers says which members of a command's take descriptors.
func takers(command string) string {
	var words []string
	for _, m := range of[command] {
		if m.instead != "" {
			continue
		}
		word := strings.ReplaceAll(strings.ReplaceAll(m.path, "**/", ""), "/", ".")
		if m.tag != "" {
			word += " (" + strings.TrimPrefix(m.tag, "../") + ")"
		}
		words = append(words, word)
	}
	if words == nil && (command == "getfd" || command == "add-fd") {
		return "give it as fd in Call, or by Getfd and AddFd"
	}
	if words == nil {
		return command + " takes none"
	}
	return command + " takes them as " + strings.Join(words, ", ")
}

// faultf is what is wrong with what is at a place.
func faultf(command string, place []string, format string, args ...any) error {
	parts := []string{command}
	for _, part := range place {
		parts = append(parts, fmt.Sprintf("%.64s", part))
	}
	return &schema.ArgumentError{Path: strings.Join(parts, "."), Text: fmt.Sprintf(format, args...)}
}
