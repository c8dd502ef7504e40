package schema

import (
	"fmt"
	"strings"

	"qmp-dbus-bridge/schema/wire"
)

// Node is an object as its introspection data shows it.
type Node struct {
	Interfaces []Interface
	Children   []string // names of the objects right below, relative: QMP
}

// Interface describes a D-Bus interface. The tables that dispatch calls are
// made of it, so that what is described is what is there.
type Interface struct {
	Name        string
	Methods     []Method
	Signals     []Signal
	Properties  []Property
	Annotations []Annotation
}

// Method describes a method: what it takes and what it gives.
type Method struct {
	Name        string
	In, Out     []Arg
	Annotations []Annotation
}

// Signal describes a signal.
type Signal struct {
	Name        string
	Args        []Arg
	Annotations []Annotation
}

// Property describes a property. No Access is Read, no EmitsChanged is Always.
type Property struct {
	Name         string
	Type         string // one complete type
	Access       Access
	EmitsChanged EmitsChanged
	Annotations  []Annotation
}

// Arg is an argument or a result; Type is one complete type.
type Arg struct {
	Name        string
	Type        string
	Annotations []Annotation
}

// Annotation is a hint for tools and people.
type Annotation struct{ Name, Value string }

// Names of annotations.
const (
	AnnotationCommand    = "org.qemu.VM1.QMP.Command"   // a method's QMP command, verbatim
	AnnotationEvent      = "org.qemu.VM1.QMP.EventName" // a signal's QMP event, verbatim
	AnnotationOptional   = "org.qemu.VM1.QMP.Optional"  // optional members, separated by spaces
	AnnotationUnstable   = "org.qemu.VM1.QMP.Unstable"
	AnnotationDeprecated = "org.freedesktop.DBus.Deprecated"
	annotationEmits      = "org.freedesktop.DBus.Property.EmitsChangedSignal"
)

// Access says what may be done to a property.
type Access string

// The kinds of access that D-Bus knows.
const (
	Read      Access = "read"
	Write     Access = "write"
	ReadWrite Access = "readwrite"
)

// EmitsChanged says how a property's change is announced: the annotation
// org.freedesktop.DBus.Property.EmitsChangedSignal.
type EmitsChanged string

// The ways that D-Bus knows.
const (
	Always      EmitsChanged = "true"        // PropertiesChanged has the new value
	Invalidates EmitsChanged = "invalidates" // PropertiesChanged has only the name
	Const       EmitsChanged = "const"       // it never changes
	Never       EmitsChanged = "false"       // nothing is sent
)

// InSignature returns the signature of the method's arguments.
func (m Method) InSignature() string { return signature(m.In) }

// OutSignature returns the signature of the method's results.
func (m Method) OutSignature() string { return signature(m.Out) }

// Signature returns the signature of the signal's arguments.
func (s Signal) Signature() string { return signature(s.Args) }

func signature(args []Arg) string {
	var s strings.Builder
	for _, a := range args {
		s.WriteString(a.Type)
	}
	return s.String()
}

// Validate returns what keeps the table from being a D-Bus interface: a name,
// type or signature that is not valid, or a member that is there twice. It is
// for the tests of tables.
func (i Interface) Validate() error {
	if !wire.ValidInterface(i.Name) {
		return fmt.Errorf("'%s' is not an interface name", i.Name)
	}
	members := make(map[string]bool)
	for _, m := range i.Methods {
		if err := validateMember("method "+m.Name, m.Name, members, m.In, m.Out); err != nil {
			return fmt.Errorf("%s: %w", i.Name, err)
		}
	}
	for _, s := range i.Signals {
		if err := validateMember("signal "+s.Name, s.Name, members, s.Args); err != nil {
			return fmt.Errorf("%s: %w", i.Name, err)
		}
	}
	for _, p := range i.Properties {
		if err := validateMember("property "+p.Name, p.Name, members, []Arg{{Type: p.Type}}); err != nil {
			return fmt.Errorf("%s: %w", i.Name, err)
		}
	}
	return nil
}

// validateMember checks a member with its lists of arguments. Members of
// different kinds share their names, since bindings make one object of them.
func validateMember(what, name string, members map[string]bool, lists ...[]Arg) error {
	switch {
	case !wire.ValidMember(name):
		return fmt.Errorf("%s: not a member name", what)
	case members[name]:
		return fmt.Errorf("%s: the name is there twice", what)
	}
	members[name] = true
	for _, args := range lists {
		for _, a := range args {
			if first, rest := wire.SplitSignature(a.Type); first == "" || rest != "" {
				return fmt.Errorf("%s: '%s' is not one complete type", what, a.Type)
			}
		}
		if err := wire.ValidateSignature(signature(args)); err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
	}
	return nil
}
