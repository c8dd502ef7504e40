package bridge

import (
	"qmp-dbus-bridge/bridge/action"
	"qmp-dbus-bridge/bridge/spelling"
	"qmp-dbus-bridge/schema"
)

// didYouMean is how the error about a name that is none ends: with the one that was meant, or, where none is like it, with what
// such a name is like.
func didYouMean(meant, like string) string {
	switch {
	case meant != "":
		return ": did you mean " + meant + "?"
	case like != "":
		return "; " + like
	}
	return ""
}

// eventMeant is the event that was meant by a name which is none, of these: by its signal, or by the spelling; "" if none was.
func eventMeant(name string, events []string) string {
	for _, event := range events {
		if schema.SignalName(event) == name {
			return event
		}
	}
	return spelling.Nearest(name, events)
}

// methodMeant is the method of the interface that was meant by a name which is none.
func (i *iface) methodMeant(name string) string {
	if m := i.find(schema.MethodName(name)); m != nil {
		return m.Name
	}
	return spelling.Nearest(name, i.methodNames())
}

// elsewhere is how the error about a method that is none of its interface ends, if it is one of the VM's or of QMP's.
func (r *request) elsewhere() string {
	for _, path := range []string{r.bridge.paths.vm, r.bridge.paths.qmp} {
		for _, i := range r.bridge.object(path).interfaces {
			if i.name() != r.Interface && i.find(r.Member) != nil {
				return ": it is of " + i.name() + " at " + path
			}
		}
	}
	return ""
}

// hint is what to say to who is denied the command that a call names, if there is none of that name. Who is denied may be anybody:
// it tells nothing of the QEMU that is connected.
func (r *request) hint() string {
	name := r.action.String()
	if r.method == nil || !r.method.named || action.IsListed(name) {
		return ""
	}
	return didYouMean(action.Meant(name, action.Commands()), "")
}
