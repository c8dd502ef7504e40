package bridge

import (
	"bytes"
	"cmp"

	"qmp-dbus-bridge/qmp"
	"qmp-dbus-bridge/schema"
	"qmp-dbus-bridge/schema/wire"
)

// migrationMethods are those of org.qemu.VM1.Migration.
func migrationMethods() []method {
	start := objectCommand("Start", "migrate", []schema.Arg{{Name: "target", Type: "v"}, {Name: "options", Type: "a{sv}"}}, nil)
	start.parse, start.run = parseStart, startMigration
	pause := objectCommand("PauseCopy", "migrate-pause", nil, nil)
	pause.run = atOnce // it is for when QEMU is stuck, and executed out of band
	goOn := objectCommand("Continue", "migrate-continue", nil, func(*object) []schema.Own {
		return []schema.Own{{Name: "state", Value: preSwitchover}}
	})
	goOn.refusal = notPaused
	return []method{
		start,
		objectCommand("Cancel", "migrate_cancel", nil, nil),
		pause,
		goOn,
		objectCommand("SetParameters", "migrate-set-parameters", []schema.Arg{{Name: "parameters", Type: "a{sv}"}}, nil),
	}
}

// preSwitchover is the only status in which QEMU waits for migrate-continue. In another that one succeeds where it is given that, and
// does nothing (qmp_migrate_continue, 5.2 to 10.0).
const preSwitchover = "pre-switchover"

// notPaused says why Continue is refused; QEMU's words tell the status that it found.
func notPaused(_ *request, refused *qmp.Error) error {
	return &qmp.Error{
		Class: refused.Class,
		Desc:  "Continue is for a migration whose Status is " + preSwitchover + ", as the capability pause-before-switchover makes it: " + refused.Desc,
	}
}

// A migrate over a descriptor is decided with this uri, which QEMU refuses if a caller gives it: what is executed has a name behind
// it.
const (
	migrateURI    = "uri"
	descriptorURI = "fd:"
)

// parseStart reads (v target, a{sv} options). The target is a URI, or a descriptor: a connected stream socket, a pipe, a file.
func parseStart(r *request) error {
	const command = "migrate"
	if r.plan == nil {
		return r.parseOwn(command, nil)
	}
	in := []schema.Arg{{Name: migrateURI, Type: "v"}, {Name: "options", Type: "a{sv}"}}
	var own []schema.Own
	d := r.Decoder()
	if index, is := descriptor(d); is {
		r.subject = index
		d.Skip()
		in, own = in[1:], []schema.Own{{Name: migrateURI, Value: descriptorURI}}
	} else if target := content(d); target.Kind() != 's' && target.Kind() != 'o' {
		return cmp.Or(r.setCommand(command, nil), error(failuref(errInvalidArgs,
			"target: expected a URI (s) or a descriptor (h), got D-Bus type '%.64s'", target.Type())))
	}
	arguments, err := r.plan.AppendMethod(nil, &d, in, own...)
	return cmp.Or(err, r.setCommand(command, arguments))
}

// descriptor tells which descriptor of the call the value at the decoder is, if it is one.
func descriptor(d wire.Decoder) (index uint32, is bool) {
	if d = content(d); d.Kind() != 'h' {
		return 0, false
	}
	return d.UnixFD(), true
}

// content is the decoder at what is in any number of variants.
func content(d wire.Decoder) wire.Decoder {
	for d.Kind() == 'v' {
		d.Enter()
	}
	return d
}

func startMigration(r *request) {
	if index, over := r.subject.(uint32); over {
		r.migrateOver(index)
		return
	}
	r.forwardShown(r.object.query)
}

// migrateOver runs the request's migrate over one of the call's descriptors:
//
//	getfd -> migrate -> closefd, if that failed: QEMU may have it still
//
// Of these the migrate is the caller's; the others are by the bridge's own right. It ends as forwardShown does.
func (r *request) migrateOver(index uint32) {
	if err := r.forwardable(); err != nil {
		r.fail(err)
		return
	}
	name := fdName(r.Serial)
	named := withMember(nil, "fdname", name)
	migrated := func(reply qmp.Reply) {
		if reply.Err == nil {
			r.show(r.object.query)
			return
		}
		r.monitor.Start(qmp.Command{Name: "closefd", Arguments: named}, func(qmp.Reply) { r.failShown(reply.Err) })
	}
	r.monitor.Start(qmp.Command{Name: "getfd", Arguments: named, FDs: []int{r.takeFD(index)}}, func(reply qmp.Reply) {
		if reply.Err != nil {
			r.fail(reply.Err)
			return
		}
		r.forwardAs(withDescriptor(r.decided.Arguments, name), migrated)
	})
}

// withDescriptor are the arguments of a migrate over a descriptor, with its name.
func withDescriptor(decided []byte, name string) []byte {
	beginning := []byte(`{"` + migrateURI + `":"` + descriptorURI) // a method's own members come first
	return bytes.Replace(decided, beginning, append(beginning, name...), 1)
}
