package bridge

import (
	"errors"

	"qmp-dbus-bridge/bridge/action"
	"qmp-dbus-bridge/qmp"
	"qmp-dbus-bridge/schema"
	"qmp-dbus-bridge/schema/wire"
)

// commands are the commands and events of one kind of QEMU, and the methods that they are
// on the bus. They never change; those of another kind take their place.
type commands struct {
	*schema.Table
	kind    string // what tells one kind of QEMU from another; empty before the first
	methods map[string]*method
}

// newCommands makes the methods of a table.
func newCommands(kind string, table *schema.Table) *commands {
	c := &commands{Table: table, kind: kind, methods: map[string]*method{}}
	for _, description := range table.Methods() {
		c.methods[description.Name] = typedMethod(table.Method(description.Name), description)
	}
	return c
}

// typedMethod is the method of one command: typed arguments in, a typed result out.
func typedMethod(command *schema.Command, description schema.Method) *method {
	return &method{
		Method:   description,
		anyForm:  true,
		action:   action.Command(command.Name()),
		forwards: true,
		plan:     func(*request) *schema.Command { return command },
		parse: func(r *request) error {
			d := r.Decoder()
			var given []schema.Descriptor
			arguments, err := command.AppendArguments(nil, &d, r.Signature, &given)
			return r.setGiven(command.Name(), arguments, given, err)
		},
		run: func(r *request) {
			r.forward(func(reply qmp.Reply) { r.replyTyped(command, reply) })
		},
	}
}

// replyTyped ends a request with a result of the command's type, or as a variant where
// QEMU sent something else altogether.
func (r *request) replyTyped(command *schema.Command, reply qmp.Reply) {
	var misfits schema.Misfits
	typed := func(e *wire.Encoder) (err error) {
		misfits, err = command.EncodeResult(e, reply.Return)
		return err
	}
	err := r.Reply(command.OutSignature(), typed)
	if errors.Is(err, schema.ErrMisfit) {
		err = r.Reply("v", func(e *wire.Encoder) error {
			_, err := command.EncodeVariant(e, reply.Return)
			return err
		})
	}
	r.bridge.noteMisfits(misfits)
	if err != nil {
		r.fail(r.replyFailure(err))
		return
	}
	r.finish(resultOK)
}

// maxUntyped is how many names a line of the log has: QEMU must not be able to flood it. Each
// has at most 512 bytes, see schema.ParseTable.
const maxUntyped = 8

// noteUntyped logs, once for each kind of QEMU, which names are no members on the bus.
func (b *Bridge) noteUntyped(table *schema.Table) {
	names := table.Untyped()
	if len(names) == 0 {
		return
	}
	b.log.Warn("QEMU has names that can't be methods or signals of their own: use Call and the signal Other",
		"first", names[:min(len(names), maxUntyped)], "count", len(names))
}

// noteMisfits counts values that are not what QEMU's schema says, and logs them each time that
// the count has doubled: QEMU must not be able to flood the log.
func (b *Bridge) noteMisfits(m schema.Misfits) {
	if m.Count == 0 {
		return
	}
	if count, doubled := b.misfits.add(m.Count); doubled {
		b.log.Warn("QEMU sent values that its schema does not have", "first", m.First, "count", count)
	}
}
