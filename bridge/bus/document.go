package bus

import (
	"strconv"
	"strings"
)

// xmlEscape makes a text fit for an attribute or an element.
var xmlEscape = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&quot;", "'", "&apos;")

// document builds the configuration's XML. It is plain string building and not
// text/template or encoding/xml, whose tables would stay in the bridge's memory
// for the sake of a few hundred lines written once.
type document struct{ b []byte }

func (d *document) line(parts ...string) {
	for _, p := range parts {
		d.b = append(d.b, p...)
	}
	d.b = append(d.b, '\n')
}

func (d *document) open(kind, address string, user *uint32) {
	d.line(`<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"`)
	d.line(` "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">`)
	d.line("<!-- The private bus of one VM, made by qmp-dbus-bridge. -->")
	d.line("<busconfig>")
	d.line("  <type>", xmlEscape.Replace(kind), "</type>")
	if user != nil {
		d.line("  <user>", id(*user), "</user>")
	}
	d.line("  <listen>", xmlEscape.Replace(address), "</listen>")
	d.line("  <auth>EXTERNAL</auth>")
}

func (d *document) limit(name string, value int64) {
	d.line(`  <limit name="`, name, `">`, strconv.FormatInt(value, 10), "</limit>")
}

// policy writes one policy element with the rules that the function adds; attribute and
// value say for whom it is.
func (d *document) policy(attribute, value string, rules func()) {
	d.line("  <policy ", attribute, `="`, xmlEscape.Replace(value), `">`)
	rules()
	d.line("  </policy>")
}

// allow writes one rule from pairs of attribute and value.
func (d *document) allow(pairs ...string) { d.rule("allow", pairs) }

// deny is allow's opposite.
func (d *document) deny(pairs ...string) { d.rule("deny", pairs) }

func (d *document) rule(verdict string, pairs []string) {
	d.b = append(d.b, "    <"+verdict...)
	for i := 0; i+1 < len(pairs); i += 2 {
		d.b = append(d.b, " "+pairs[i]+`="`+xmlEscape.Replace(pairs[i+1])+`"`...)
	}
	d.line("/>")
}

// selinux says which context may own a name. Buses without SELinux pass over it.
func (d *document) selinux(name, context string) {
	if context == "" {
		return
	}
	d.line("  <selinux>")
	d.line(`    <associate own="`, xmlEscape.Replace(name), `" context="`, xmlEscape.Replace(context), `"/>`)
	d.line("  </selinux>")
}

func (d *document) close() []byte {
	d.line("</busconfig>")
	return d.b
}
