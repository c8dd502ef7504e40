package schema

import (
	"errors"
	"fmt"

	"qmp-dbus-bridge/schema/wire"
)

// ErrNotSupported is the cause (errors.Is) when a call has a positional argument
// that the running QEMU no longer has.
var ErrNotSupported = errors.New("not supported by this QEMU")

// ErrMisfit says that a reply as a whole is not of its command's result type.
var ErrMisfit = errors.New("the reply is not of the type that QEMU's schema gives it")

// Command is the plan of one QMP command: its D-Bus method, how a call's body
// becomes the command's arguments, and how its reply becomes a body. It may be
// shared.
//
// The method takes P, the members of the arguments that are mandatory in every
// QEMU since 5.2 (the frozen list; of a command that is younger than this
// package: those that are mandatory now), one argument each, and then, unless
// there are no others, all other members as a{sv}.
type Command struct {
	name, member         string
	arguments            *qtype // an object
	result               *qtype
	positional           []positional
	legacy               []positional // P as some releases had it, or nil
	options              bool
	in, out              string
	deprecated, unstable bool
	oob                  bool
}

// positional is one argument of P.
type positional struct {
	name, signature string
	member          int // in the arguments; -1 if this QEMU has none such
}

// newCommand makes the plan of a command; deprecated, unstable and the member
// are left to the caller.
func newCommand(name string, arguments, result *qtype, known map[string]frozen) *Command {
	c := &Command{name: name, arguments: arguments, result: result}
	if isOpen(name, arguments) {
		open := *arguments
		open.open = true
		c.arguments = &open
	}
	if f, found := known[name]; found {
		c.freeze(f)
	} else {
		c.takeMandatory()
	}
	if l, found := legacy[name]; found {
		c.legacy = []positional{c.argument(l, "s")}
	}
	c.options = c.options || c.arguments.open || c.arguments.branches != nil ||
		len(c.optional()) > 0
	for _, p := range c.positional {
		c.in += p.signature
	}
	if c.options {
		c.in += "a{sv}"
	}
	if !result.isEmpty() {
		c.out = result.signature
	}
	return c
}

// isOpen reports whether a command takes members that its schema doesn't have:
// device_add the device's properties, object-add before QEMU 6.0 the object's.
func isOpen(name string, arguments *qtype) bool {
	return name == "device_add" || name == "object-add" && arguments.branches == nil
}

// freeze takes P from the table.
func (c *Command) freeze(f frozen) {
	c.options = f.options
	for _, a := range f.arguments {
		c.positional = append(c.positional, c.argument(a.name, a.signature))
	}
}

// argument makes a member a positional argument.
func (c *Command) argument(name, signature string) positional {
	i, found := c.arguments.find([]byte(name))
	if !found {
		i = -1
	}
	return positional{name, signature, i}
}

// takeMandatory takes P from the schema.
func (c *Command) takeMandatory() {
	for i, m := range c.arguments.members {
		if !m.optional {
			c.positional = append(c.positional, positional{m.name, m.of.signature, i})
		}
	}
}

// optional returns the names of the members that are not in P, without those of
// branches.
func (c *Command) optional() []string {
	inFront := make([]bool, len(c.arguments.members))
	for _, p := range c.positional {
		if p.member >= 0 {
			inFront[p.member] = true
		}
	}
	var names []string
	for i, m := range c.arguments.members {
		if !inFront[i] {
			names = append(names, m.name)
		}
	}
	return names
}

// Name returns the QMP command.
func (c *Command) Name() string { return c.name }

// Member returns the D-Bus method, "" if the command has none: the bridge or
// another command has the name, or D-Bus can't have it.
func (c *Command) Member() string { return c.member }

// OutOfBand reports whether QEMU executes the command past the others if asked to.
func (c *Command) OutOfBand() bool { return c.oob }

// InSignature returns the signature that the method shows.
func (c *Command) InSignature() string { return c.in }

// OutSignature returns the type of the method's result, "" if it has none.
func (c *Command) OutSignature() string { return c.out }

// AppendArguments appends the body of a call of the method, whose signature this
// is, to dst as the command's arguments, one compact JSON object. These forms are
// taken, the first that fits:
//
//	a{sv}        members by name, unless P is one dictionary and there is no more
//	P a{sv}      the others by name; empty also where the method has no options
//	P            none of the others
//	uri, uri a{sv}    of migrate and migrate-incoming only
//
// Every value may be of any D-Bus type that its QAPI type can be read from (see
// the package comment) and in any number of variants. Errors are those of
// [AppendObject]: unknown members, missing ones, those that are both in P and in
// the dictionary, wrong types and values that an enum doesn't have are
// [*ArgumentError], and one that wraps ErrNotSupported says that this QEMU has
// no such argument any more.
//
// A file descriptor that stands for a string is written as "" and appended to fds; where
// fds is nil it is wrong, as it is everywhere else.
func (c *Command) AppendArguments(dst []byte, d *wire.Decoder, signature string, fds *[]Descriptor) ([]byte, error) {
	f, err := c.formOf(signature)
	if err != nil {
		return dst, err
	}
	return c.appendCall(dst, d, f, fds, nil)
}

// appendCall appends the body of a call in that form, and own.
func (c *Command) appendCall(dst []byte, d *wire.Decoder, f form, fds *[]Descriptor, own []Own) ([]byte, error) {
	for _, p := range f.front {
		if p.member < 0 {
			return dst, fmt.Errorf("%s.%s: %w", c.name, p.name, ErrNotSupported)
		}
	}
	a := newArguments(dst, d)
	defer a.release()
	a.fds = fds
	a.call(c, f, own)
	if !a.failed() {
		_ = d.End() // finish looks at the decoder's error
	}
	return a.finish(c.name)
}

// AppendMembers appends the dictionary at the decoder to dst as the command's
// arguments, as [Command.AppendArguments] does with members by name.
func (c *Command) AppendMembers(dst []byte, d *wire.Decoder, fds *[]Descriptor) ([]byte, error) {
	a := newArguments(dst, d)
	defer a.release()
	a.fds = fds
	a.typed(c.arguments)
	return a.finish(c.name)
}

// EncodeResult appends a reply to e as the method's result, of OutSignature; it
// appends nothing if there is none. json is not kept.
//
// A value in the reply that is not of the type which the schema gives it is
// written as what it is, and so is a member that the schema doesn't have; they
// are counted. Only where the reply as a whole can't be of OutSignature the error
// is ErrMisfit: e is as before, and the caller writes a message of signature v
// with EncodeVariant. Other errors are those of the function [EncodeVariant].
func (c *Command) EncodeResult(e *wire.Encoder, json []byte) (Misfits, error) {
	return c.encode(e, c.result, json)
}

// EncodeElement appends one element of a reply that is a list, as
// [Command.EncodeResult] does the whole. Where the command's result is no list, or
// the element can't be of the type that the schema gives it, the error is ErrMisfit.
func (c *Command) EncodeElement(e *wire.Encoder, json []byte) (Misfits, error) {
	if c.result.kind != kindArray {
		return Misfits{}, ErrMisfit
	}
	return c.encode(e, c.result.element, json)
}

// encode appends a value of type t, or of none if that has no members.
func (c *Command) encode(e *wire.Encoder, t *qtype, json []byte) (Misfits, error) {
	d, err := parseDocument(json)
	if err != nil {
		return Misfits{}, err
	}
	defer d.release()
	r := result{document: d, encoder: e, root: c.name}
	switch {
	case !r.fits(t, 0):
		r.misfitWithin(t, 0)
		return r.misfits, ErrMisfit
	case !t.isEmpty():
		r.typed(t, 0)
	case d.nodes[0].next > 1:
		r.stranger(0)
	}
	return r.misfits, e.Err()
}

// EncodeVariant appends a reply to e as one variant, typed by the schema: what
// Call returns. Misfits are as in [Command.EncodeResult], it has no ErrMisfit.
func (c *Command) EncodeVariant(e *wire.Encoder, json []byte) (Misfits, error) {
	d, err := parseDocument(json)
	if err != nil {
		return Misfits{}, err
	}
	defer d.release()
	r := result{document: d, encoder: e, root: c.name}
	r.typedVariant(c.result, 0)
	return r.misfits, e.Err()
}
