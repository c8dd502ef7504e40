package bridge

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"qmp-dbus-bridge/bridge/action"
	"qmp-dbus-bridge/bridge/inventory"
	"qmp-dbus-bridge/qmp"
	"qmp-dbus-bridge/schema"
)

// object is what one path offers at one moment. Its interfaces are the tables that dispatch calls,
// and introspection shows the same. It never changes once it is in a state.
type object struct {
	path       string
	interfaces []*iface
	children   []string // names, for introspection

	id     string            // what QEMU calls it; empty of those that are always there, and so is query
	query  inventory.Set     // the one that tells of it
	main   *iface            // the one that has properties; nil if none has
	values []inventory.Value // of main's properties; QEMU has those of an object of its tree
	end    uint64            // inventory.Item.End
	qom    string            // the path in QEMU's object tree, of one that is there
}

// iface is an interface: what it is called and how its methods run.
type iface struct {
	table   schema.Interface // all but what the fields below hold
	methods []method
	asks    bool // QEMU is asked for a property of it when that is read

	// Those that depend on the QEMU, where there are any; may be nil.
	signals     func() []schema.Signal
	moreMethods func() map[string]*method
}

// method is how a method runs.
type method struct {
	schema.Method
	in      string // the signature of its arguments, unless anyForm
	anyForm bool   // parse looks at the signature

	// action is what is decided before run, unless parse sets another.
	action action.Action
	// plan finds the command that a call of the method is, if QEMU has it; may be nil.
	plan func(*request) *schema.Command
	// parse reads the arguments, once they have the right signature; may be nil.
	parse func(*request) error
	// forwards: run executes QMP commands, so the request takes a slot. asks tells whether this call's does, of a method whose
	// calls don't all; may be nil.
	forwards bool
	asks     func(*request) bool
	// named: the command is the one that the call names.
	named bool
	// refusal is what it means for the caller that QEMU refuses the command: an error, or nil where it is as good as done. No
	// refusal: what QEMU says.
	refusal func(*request, *qmp.Error) error
	// run does it, and ends the request with reply or fail, now or later.
	run func(*request)
}

func newInterface(table schema.Interface, methods []method) *iface {
	for m := range methods {
		methods[m].in = methods[m].InSignature()
	}
	return &iface{table: table, methods: methods, asks: slices.ContainsFunc(table.Properties, isAsked)}
}

// guards are the commands that guard properties of the interface, each once.
func (i *iface) guards() (commands []string) {
	for _, p := range i.table.Properties {
		if command := guard(p); command != "" && !slices.Contains(commands, command) {
			commands = append(commands, command)
		}
	}
	return commands
}

func (i *iface) name() string { return i.table.Name }

func (i *iface) find(member string) *method {
	for m := range i.methods {
		if i.methods[m].Name == member {
			return &i.methods[m]
		}
	}
	if i.moreMethods != nil {
		return i.moreMethods()[member]
	}
	return nil
}

// methodNames are those of all its methods.
func (i *iface) methodNames() (names []string) {
	for m := range i.methods {
		names = append(names, i.methods[m].Name)
	}
	if i.moreMethods != nil {
		names = slices.AppendSeq(names, maps.Keys(i.moreMethods()))
	}
	return names
}

// describe completes the table for introspection.
func (i *iface) describe() schema.Interface {
	d := i.table
	for _, m := range i.methods {
		d.Methods = append(d.Methods, m.Method)
	}
	if i.moreMethods != nil {
		more := i.moreMethods()
		for _, name := range slices.Sorted(maps.Keys(more)) {
			d.Methods = append(d.Methods, more[name].Method)
		}
	}
	if i.signals != nil {
		d.Signals = append(slices.Clip(d.Signals), i.signals()...)
	}
	return d
}

func (o *object) find(name string) *iface {
	for _, i := range o.interfaces {
		if i.name() == name {
			return i
		}
	}
	return nil
}

// value is that of a property that main has.
func (o *object) value(property string) inventory.Value {
	return o.values[slices.IndexFunc(o.main.table.Properties, func(p schema.Property) bool { return p.Name == property })]
}

func (o *object) node() schema.Node {
	n := schema.Node{Children: o.children}
	for _, i := range o.interfaces {
		n.Interfaces = append(n.Interfaces, i.describe())
	}
	return n
}

// objects are those that are there at every moment, by path, with the ones above them that only introspection and
// Peer know.
type objects map[string]*object

// add puts an object with these interfaces and the standard ones in, and below its parents.
func (all objects) add(path string, interfaces ...*iface) *object {
	o := all[path]
	if o == nil {
		o = &object{path: path, interfaces: standardInterfaces()}
		all[path] = o
		if parent, child := splitPath(path); child != "" {
			above := all.add(parent)
			above.children = append(above.children, child)
		}
	}
	o.interfaces = append(o.interfaces, interfaces...)
	for _, i := range interfaces {
		if len(i.table.Properties) > 0 {
			o.main = i
		}
	}
	return o
}

// splitPath splits an object path into its parent and its last element; "/" has none.
func splitPath(path string) (parent, last string) {
	i := strings.LastIndexByte(path, '/')
	return path[:max(i, 1)], path[i+1:]
}

// resolve finds the method that a call is for, and checks the signature of its arguments.
func (r *request) resolve() error {
	r.object = r.bridge.object(r.Path)
	if r.object == nil {
		return r.bridge.noObject(r.Path)
	}
	if r.Interface == "" {
		return failuref(errUnknownInterface, "the call of %s names no interface; here each call has to", r.Member)
	}
	i := r.object.find(r.Interface)
	if i == nil {
		return failuref(errUnknownInterface, "%s has no interface %s", r.Path, r.Interface)
	}
	m := i.find(r.Member)
	if m == nil {
		return failuref(errUnknownMethod, "%s has no method %s%s", r.Interface, r.Member, cmp.Or(r.elsewhere(), didYouMean(i.methodMeant(r.Member), "")))
	}
	if r.Signature != m.in && !m.anyForm {
		return failuref(errInvalidArgs, "%s.%s: %s", r.Interface, r.Member, m.Expected(r.Signature))
	}
	r.method = m
	return nil
}

// noObject says that there is no object at a path, and if it may be for want of a QEMU, as it may be of all but helpers.
func (b *Bridge) noObject(path string) *failure {
	f := failuref(errUnknownObject, "there is no object %s", path)
	ofQEMU := strings.HasPrefix(path, b.paths.vm+"/") && !strings.HasPrefix(path, b.mirror.layout.kinds[helpers].above)
	if ofQEMU && b.monitor() == nil {
		f.text += ": " + textNoQEMU
	}
	return f
}
