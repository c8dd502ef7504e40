package bridge

import (
	"cmp"
	"encoding/json"
	"time"

	"qmp-dbus-bridge/bridge/action"
	"qmp-dbus-bridge/schema"
	"qmp-dbus-bridge/schema/wire"
)

// How long Unplug waits for the guest.
const (
	unplugPatience    = 20 * time.Second // unless its option timeout says otherwise: most D-Bus clients give up after 25 s
	maxUnplugPatience = 10 * time.Minute
)

// deviceMethods are those of org.qemu.VM1.Device.
func deviceMethods() []method {
	member, command := action.OfMethod("Device.Unplug")
	return []method{{
		Method: schema.Method{
			Name: member, In: []schema.Arg{{Name: "options", Type: "a{sv}"}}, Annotations: isCommand(command),
		},
		action:   action.Command(command),
		forwards: true,
		plan:     planOf(command),
		parse:    parseUnplug,
		run:      runUnplug,
	}}
}

// parseUnplug makes the command of the object, and finds how long the caller waits.
func parseUnplug(r *request) error {
	options, end := r.Decoder(), r.Decoder()
	patience, wrong := patienceOf(&options)
	r.subject = patience
	end.Skip()
	return cmp.Or(r.setOwn(r.action.String(), &end, nil, []schema.Own{{Name: "id", Value: r.object.id}}), wrong)
}

// patienceOf reads the options of Unplug.
func patienceOf(d *wire.Decoder) (time.Duration, error) {
	text, err := schema.AppendObject(nil, d, "options")
	if err != nil {
		return 0, err
	}
	var options map[string]json.RawMessage
	if err := json.Unmarshal(text, &options); err != nil {
		return 0, err
	}
	patience := unplugPatience
	for name, value := range options {
		var ms uint64
		switch {
		case name != "timeout":
			return 0, failuref(errInvalidArgs, "options.%s: there is no such option; there is timeout", name)
		case json.Unmarshal(value, &ms) != nil || ms > uint64(maxUnplugPatience.Milliseconds()):
			return 0, failuref(errInvalidArgs, "options.timeout: want milliseconds, from 0, not to wait, to %d", maxUnplugPatience.Milliseconds())
		}
		patience = time.Duration(ms) * time.Millisecond
	}
	return patience, nil
}

// runUnplug has QEMU ask the guest to let go of the device, and answers when it has, or will not, or takes too long.
func runUnplug(r *request) {
	patience, _ := r.subject.(time.Duration)
	if patience == 0 {
		r.forwardShown(r.object.query)
		return
	}
	r.bridge.unplugs.begin(r, patience)
}
