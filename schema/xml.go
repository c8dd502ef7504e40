package schema

import (
	"cmp"
	"strings"
	"unicode/utf8"
)

// xmlHeader is what the D-Bus specification and other implementations begin
// introspection data with.
const xmlHeader = `<!DOCTYPE node PUBLIC "-//freedesktop//DTD D-BUS Object Introspection 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/introspect.dtd">
`

// AppendXML appends the introspection data of an object: the answer of
// org.freedesktop.DBus.Introspectable.Introspect. Every text is escaped; what
// XML can't hold becomes U+FFFD.
func AppendXML(dst []byte, node Node) []byte {
	x := xml{append(dst, xmlHeader...), 0}
	x.element("node", nil, func() {
		for _, i := range node.Interfaces {
			x.iface(i)
		}
		for _, child := range node.Children {
			x.element("node", []attribute{{"name", child}}, nil)
		}
	})
	return x.text
}

// xml writes indented elements.
type xml struct {
	text  []byte
	depth int
}

type attribute struct{ name, value string }

func (x *xml) iface(i Interface) {
	x.element("interface", []attribute{{"name", i.Name}}, func() {
		x.annotations(i.Annotations)
		for _, m := range i.Methods {
			x.method(m)
		}
		for _, s := range i.Signals {
			x.signal(s)
		}
		for _, p := range i.Properties {
			x.property(p)
		}
	})
}

func (x *xml) method(m Method) {
	x.parent("method", m.Name, len(m.In)+len(m.Out)+len(m.Annotations), func() {
		x.args(m.In, "in")
		x.args(m.Out, "out")
		x.annotations(m.Annotations)
		x.annotations(appendQt(appendQt(nil, m.In, "In"), m.Out, "Out"))
	})
}

func (x *xml) signal(s Signal) {
	x.parent("signal", s.Name, len(s.Args)+len(s.Annotations), func() {
		x.args(s.Args, "")
		x.annotations(s.Annotations)
		x.annotations(appendQt(nil, s.Args, "Out"))
	})
}

func (x *xml) property(p Property) {
	access, emits := cmp.Or(p.Access, Read), cmp.Or(p.EmitsChanged, Always)
	attributes := []attribute{{"name", p.Name}, {"type", p.Type}, {"access", string(access)}}
	x.element("property", attributes, func() {
		x.annotations([]Annotation{{annotationEmits, string(emits)}})
		x.annotations(p.Annotations)
	})
}

// args writes arguments; those of signals have no direction.
func (x *xml) args(args []Arg, direction string) {
	for _, a := range args {
		var attributes []attribute
		if a.Name != "" {
			attributes = append(attributes, attribute{"name", a.Name})
		}
		attributes = append(attributes, attribute{"type", a.Type})
		if direction != "" {
			attributes = append(attributes, attribute{"direction", direction})
		}
		x.annotated("arg", attributes, a.Annotations)
	}
}

func (x *xml) annotations(annotations []Annotation) {
	for _, a := range annotations {
		x.element("annotation", []attribute{{"name", a.Name}, {"value", a.Value}}, nil)
	}
}

func (x *xml) annotated(name string, attributes []attribute, annotations []Annotation) {
	if len(annotations) == 0 {
		x.element(name, attributes, nil)
		return
	}
	x.element(name, attributes, func() { x.annotations(annotations) })
}

// parent writes a named element which may have nothing inside.
func (x *xml) parent(name, value string, inside int, content func()) {
	if inside == 0 {
		content = nil
	}
	x.element(name, []attribute{{"name", value}}, content)
}

// element writes one element, empty if there is no content.
func (x *xml) element(name string, attributes []attribute, content func()) {
	x.indent()
	x.text = append(append(x.text, '<'), name...)
	for _, a := range attributes {
		x.attribute(a)
	}
	if content == nil {
		x.text = append(x.text, "/>\n"...)
		return
	}
	x.text = append(x.text, ">\n"...)
	x.depth++
	content()
	x.depth--
	x.indent()
	x.text = append(x.text, "</"+name+">\n"...)
}

func (x *xml) indent() { x.text = append(x.text, strings.Repeat("  ", x.depth)...) }

func (x *xml) attribute(a attribute) {
	x.text = append(x.text, " "+a.name+`="`...)
	for _, r := range a.value { // bytes that are not UTF-8 come as U+FFFD
		x.text = appendEscaped(x.text, r)
	}
	x.text = append(x.text, '"')
}

// appendEscaped appends a character of an attribute's value.
func appendEscaped(dst []byte, r rune) []byte {
	switch {
	case r == '&':
		return append(dst, "&amp;"...)
	case r == '<':
		return append(dst, "&lt;"...)
	case r == '>':
		return append(dst, "&gt;"...)
	case r == '"':
		return append(dst, "&quot;"...)
	case r == '\t':
		return append(dst, "&#9;"...)
	case r == '\n':
		return append(dst, "&#10;"...)
	case r == '\r':
		return append(dst, "&#13;"...)
	case r < ' ' || r == 0xFFFE || r == 0xFFFF:
		return append(dst, replacement...)
	}
	return utf8.AppendRune(dst, r)
}
