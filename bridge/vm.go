package bridge

import (
	"cmp"

	"qmp-dbus-bridge/bridge/action"
	"qmp-dbus-bridge/bridge/inventory"
	"qmp-dbus-bridge/qmp"
	"qmp-dbus-bridge/schema"
	"qmp-dbus-bridge/schema/wire"
)

// interfaceVM is the curated interface: the same for every version of QEMU.
const interfaceVM = "org.qemu.VM1"

func vmInterface() *iface {
	i := newInterface(schema.Interface{Name: interfaceVM}, []method{
		commandMethod("Pause", shownInStatus),
		commandMethod("Resume", shownInStatus),
		commandMethod("PowerDown", atOnce),
		commandMethod("Reset", shownInStatus),
		commandMethod("Wakeup", shownInStatus),
		commandMethod("InjectNMI", atOnce),
		commandMethod("Quit", atOnce),
		setMemoryMethod(),
		sendKeyMethod(),
		screenshotMethod(),
		{
			Method: schema.Method{
				Name: "CanExecute",
				In:   []schema.Arg{{Name: "command", Type: "s"}},
				Out:  []schema.Arg{{Name: "allowed", Type: "b"}},
			},
			action: action.Introspect(), parse: parseCanExecute, run: canExecute,
		},
		{
			Method: schema.Method{Name: "ListCommands", Out: []schema.Arg{{Name: "commands", Type: "as"}}},
			action: action.Introspect(), run: listCommands,
		},
		{
			Method: schema.Method{Name: "Subscribe", In: []schema.Arg{{Name: "events", Type: "as"}}},
			action: action.Subscribe(), parse: parseSubscribe, run: subscribe,
		},
		{
			Method: schema.Method{Name: "Unsubscribe", In: []schema.Arg{{Name: "events", Type: "as"}}},
			action: action.Subscribe(), parse: parseUnsubscribe, run: unsubscribe,
		},
		{
			Method: schema.Method{Name: "OpenQMP", Out: []schema.Arg{{Name: "socket", Type: "h"}}},
			action: action.Subscribe(), run: openQMP,
		},
	})
	for _, p := range ownProperties {
		i.table.Properties = append(i.table.Properties, p.Property)
	}
	return i
}

// ownProperty is a property of org.qemu.VM1 that is not read by a query of the inventory.
type ownProperty struct {
	schema.Property
	of func(*state) inventory.Value
}

var ownProperties = []ownProperty{
	{schema.Property{Name: "Name", Type: "s"}, func(s *state) inventory.Value { return s.name }},
	{schema.Property{Name: "UUID", Type: "s"}, func(s *state) inventory.Value { return s.uuid }},
	{schema.Property{Name: "Connected", Type: "b"}, func(s *state) inventory.Value { return inventory.Flag(s.connected) }},
	{schema.Property{Name: "Version", Type: "s"}, func(s *state) inventory.Value { return s.version }},
	{schema.Property{Name: "Target", Type: "s"}, func(s *state) inventory.Value { return s.target }},
	{schema.Property{Name: "PolicyHash", Type: "s"}, func(s *state) inventory.Value { return inventory.Text(s.policyHash) }},
	{
		schema.Property{Name: "BridgeVersion", Type: "s", EmitsChanged: schema.Const},
		func(s *state) inventory.Value { return inventory.Text(s.bridgeVersion) },
	},
}

// commandMethod is a method without arguments that is one QMP command, which run forwards.
func commandMethod(name string, run func(*request)) method {
	member, command := action.OfMethod(name)
	return method{
		Method:   schema.Method{Name: member, Annotations: isCommand(command)},
		action:   action.Command(command),
		forwards: true,
		parse:    func(r *request) error { return r.setCommand(command, nil) },
		run:      run,
	}
}

// argumentMethod is a commandMethod with arguments, of which write makes those of the command, a JSON object. A QEMU that lacks
// the command is NotSupported.
func argumentMethod(name string, in []schema.Arg, write func(*request) ([]byte, error), run func(*request)) method {
	m := commandMethod(name, run)
	command := m.action.String()
	m.In = in
	m.plan = planOf(command)
	m.parse = func(r *request) error {
		if r.plan == nil {
			return r.lacking(command)
		}
		arguments, err := write(r)
		return cmp.Or(err, r.setCommand(command, arguments))
	}
	return m
}

// atOnce answers when QEMU has executed the command.
func atOnce(r *request) { r.forward(func(qmp.Reply) { r.replyEmpty() }) }

// shownInStatus answers when the properties show what the command did, so that who
// calls Pause and then reads Running sees false.
func shownInStatus(r *request) { r.forwardShown(inventory.SetOf(inventory.Status)) }

// parseCanExecute refuses what this QEMU doesn't have as a command: false would mean that another caller may run it. Who gets to
// know that may introspect, which tells the same.
func parseCanExecute(r *request) error {
	d := r.Decoder()
	name := d.String()
	if err := d.Err(); err != nil {
		return failuref(errInvalidArgs, "%v", err)
	}
	r.subject = name
	known := r.bridge.commands()
	switch {
	case known.HasCommand(name):
		return nil
	case action.IsListed(name):
		return noCommand(name)
	}
	return failuref(errInvalidArgs, "there is no command %.255s%s", name,
		didYouMean(action.Meant(name, known.Commands()), "a command's name is like query-status"))
}

func canExecute(r *request) {
	name, _ := r.subject.(string)
	allowed := r.policy.MayAllow(r.caller, action.Command(name))
	r.reply("b", func(e *wire.Encoder) error {
		e.Bool(allowed)
		return nil
	})
}

func listCommands(r *request) {
	r.reply("as", func(e *wire.Encoder) error {
		e.OpenArray("s")
		for _, name := range r.bridge.commands().Commands() {
			if r.policy.MayAllow(r.caller, action.Command(name)) {
				e.String(name)
			}
		}
		e.CloseArray()
		return nil
	})
}
