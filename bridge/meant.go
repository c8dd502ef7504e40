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

// meant is the name of QAPI's that was meant by another, of these: by the member that it is on the bus, or by the spelling; "" if
// none was.
func meant(name string, names []string, member func(string) string) string {
	if name != "" && 'A' <= name[0] && name[0] <= 'Z' { // as all members that are made of names begin
		for _, one := range names {
			if member(one) == name {
				return one
			}
		}
	}
	return spelling.Nearest(name, names)
}

// commandMeant is the command that was meant by a name which is none, of these; also by a method of the VM's.
func (b *Bridge) commandMeant(name string, commands []string) string {
	if m := b.mirror.layout.vm.main.find(name); m != nil && m.forwards {
		return m.action.String()
	}
	return meant(name, commands, schema.MethodName)
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
	return didYouMean(r.bridge.commandMeant(name, action.Commands()), "")
}
