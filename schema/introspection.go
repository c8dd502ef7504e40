package schema

import (
	"strings"
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
func (m Method) InSignature() string {
	var s strings.Builder
	for _, a := range m.In {
		s.WriteString(a.Type)
	}
	return s.String()
}
