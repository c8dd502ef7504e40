package bridge

import (
	"cmp"
	"strings"

	"qmp-dbus-bridge/qmp"
	"qmp-dbus-bridge/schema"
	"qmp-dbus-bridge/schema/wire"
)

// migrationMethods are those of org.qemu.VM1.Migration.
func migrationMethods() []method {
	start := objectMethod("Migration.Start", []schema.Arg{{Name: "target", Type: "v"}, {Name: "options", Type: "a{sv}"}}, nil)
	start.parse, start.run = parseStart, startMigration
	pause := objectMethod("Migration.PauseCopy", nil, nil)
	pause.run = atOnce // it is for when QEMU is stuck, and executed out of band
	goOn := objectMethod("Migration.Continue", nil, func(*object) []schema.Own {
		return []schema.Own{{Name: "state", Value: preSwitchover}}
	})
	goOn.refusal = notPaused
	return []method{
		start,
		objectMethod("Migration.Cancel", nil, nil),
		pause,
		goOn,
		objectMethod("Migration.SetParameters", []schema.Arg{{Name: "parameters", Type: "a{sv}"}}, nil),
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

// parseStart reads (v target, a{sv} options). The target is a URI, or a descriptor: a connected stream socket, a pipe, a file.
func parseStart(r *request) error {
	command := r.action.String()
	if r.plan == nil {
		return r.lacking(command)
	}
	in := []schema.Arg{{Name: "uri", Type: "v"}, {Name: "options", Type: "a{sv}"}}
	helpers := schema.Own{Name: helpersOption, Option: new(string), Words: []string{refuseHelpers, warnOfHelpers}}
	r.subject = helpers.Option
	d := r.Decoder()
	if target := content(d); !strings.Contains("soh", string(target.Kind())) {
		return cmp.Or(r.setCommand(command, nil), error(failuref(errInvalidArgs,
			"target: expected a URI (s) or a descriptor (h), got D-Bus type '%.64s'", target.Type())))
	}
	var given []schema.Descriptor
	arguments, err := r.plan.AppendMethod(nil, &d, in, &given, helpers)
	return r.setGiven(command, arguments, given, err)
}

// startMigration begins the migration when the helpers are ready.
func startMigration(r *request) {
	option, _ := r.subject.(*string)
	r.keepFDs()
	r.whenHelpersAreReady(*option, func() {
		if err := r.checkNames(); err != nil { // once more: the caller may have closed its descriptor, and another have one of that name
			r.fail(err)
			return
		}
		r.forwardShown(r.object.query)
	})
}

// content is the decoder at what is in any number of variants.
func content(d wire.Decoder) wire.Decoder {
	for d.Kind() == 'v' {
		d.Enter()
	}
	return d
}
