package schema

import (
	"fmt"
	"strings"
)

// describe returns the method as introspection shows it. The last argument is
// called options, or other_options where a member has that name.
func (c *Command) describe() Method {
	m := Method{Name: c.member, Annotations: []Annotation{{AnnotationCommand, c.name}}}
	last := "options"
	for _, p := range c.positional {
		name := ArgName(p.name)
		m.In = append(m.In, Arg{Name: name, Type: p.signature})
		if name == last {
			last = "other_options"
		}
	}
	if c.options {
		m.In = append(m.In, Arg{Name: last, Type: "a{sv}"})
	}
	if c.out != "" {
		m.Out = []Arg{{Name: "result", Type: c.out}}
	}
	m.Annotations = append(m.Annotations, marks(c.deprecated, c.unstable)...)
	if optional := c.optional(); len(optional) > 0 {
		m.Annotations = append(m.Annotations, Annotation{AnnotationOptional, strings.Join(optional, " ")})
	}
	return m
}

// Expected says what a call with that signature should have had, which is another than the method's:
// "expected arguments (x size, a{sv} options), got 's'".
func (m Method) Expected(signature string) string {
	args := make([]string, len(m.In))
	for i, a := range m.In {
		args[i] = a.Type + " " + a.Name
	}
	expected := "arguments (" + strings.Join(args, ", ") + ")"
	if len(args) == 0 {
		expected = "no arguments"
	}
	if signature == "" {
		return "expected " + expected + ", got none"
	}
	return fmt.Sprintf("expected %s, got '%s'", expected, signature)
}

// marks are the annotations of what is not for good.
func marks(deprecated, unstable bool) []Annotation {
	var marks []Annotation
	if deprecated {
		marks = append(marks, Annotation{AnnotationDeprecated, "true"})
	}
	if unstable {
		marks = append(marks, Annotation{AnnotationUnstable, "true"})
	}
	return marks
}
