package bridge

import (
	"slices"
	"strings"

	"qmp-dbus-bridge/bridge/inventory"
	"qmp-dbus-bridge/schema"
)

// Those who tell of objects are the queries of the inventory, by their index, and who follows the bus.
const (
	helpers = inventory.Count
	tellers = inventory.Count + 1
)

// layout is what is the same at every moment: the objects that are always there, and the interfaces and places of
// those that come and go.
type layout struct {
	fixed objects
	vm    *object // its values and children are the state's
	facts []func(*state) inventory.Value
	kinds [tellers]*kind // nil for those that tell of no objects
}

// kind is how objects of one kind are shown.
type kind struct {
	query      inventory.Set // the one that tells of them; empty if it is none
	name       string        // of the element above theirs; empty: that is the VM's object
	above      string        // the path that ends with it
	main       *iface
	interfaces []*iface // main and the standard ones
}

// newLayout adds to the object of the VM, which has its own properties already, what QEMU tells of it.
func newLayout(fixed objects, vm *object) *layout {
	l := &layout{fixed: fixed, vm: vm}
	for _, p := range ownProperties {
		l.facts = append(l.facts, p.of)
	}
	for q := range inventory.Queries {
		query := &inventory.Queries[q]
		for f := range query.Facts {
			vm.main.table.Properties = append(vm.main.table.Properties, query.Facts[f])
			l.facts = append(l.facts, func(s *state) inventory.Value { return s.readings[q].fact(f) })
		}
		if query.Kind != nil {
			l.kinds[q] = newKind(vm.path, inventory.SetOf(q), query.Kind)
		}
	}
	l.kinds[helpers] = newKind(vm.path, 0, helperKind)
	return l
}

// methodsOf makes the methods of the objects that come and go, by their interface.
var methodsOf = map[string]func() []method{
	"org.qemu.VM1.Block":     blockMethods,
	"org.qemu.VM1.Chardev":   chardevMethods,
	"org.qemu.VM1.Device":    deviceMethods,
	"org.qemu.VM1.Job":       jobMethods,
	"org.qemu.VM1.Net":       netMethods,
	"org.qemu.VM1.Migration": migrationMethods,
}

// signalsOf are their signals besides the standard ones.
var signalsOf = map[string][]schema.Signal{
	"org.qemu.VM1.Job": {completed},
}

func newKind(vm string, query inventory.Set, k *inventory.Kind) *kind {
	var methods []method
	if of := methodsOf[k.Interface]; of != nil {
		methods = of()
	}
	main := newInterface(schema.Interface{Name: k.Interface, Properties: k.Properties, Signals: signalsOf[k.Interface]}, methods)
	above := vm
	if k.Name != "" {
		above += "/" + k.Name
	}
	return &kind{
		query: query, name: k.Name, above: above,
		main: main, interfaces: append(standardInterfaces(), main),
	}
}

// object finds what is at path in a state, or nil.
func (l *layout) object(s *state, path string) *object {
	if path == l.vm.path {
		return s.vm
	}
	if o := l.fixed[path]; o != nil {
		return o
	}
	for q, kind := range l.kinds {
		if kind == nil || !strings.HasPrefix(path, kind.above) {
			continue
		}
		if objects := s.readings[q].objects; len(objects) > 0 && path == kind.above {
			return kind.parent(objects)
		}
		if o := s.readings[q].find(path); o != nil {
			return o
		}
	}
	return nil
}

// belowVM are the last elements of the paths right below the VM's that objects of the kind need.
func (k *kind) belowVM(objects []*object) (children []string) {
	switch {
	case len(objects) == 0:
		return nil
	case k.name != "":
		return []string{k.name}
	}
	return k.elements(objects)
}

// elements are the last ones of the paths of objects of the kind.
func (k *kind) elements(objects []*object) (list []string) {
	for _, o := range objects {
		list = append(list, o.path[len(k.above)+1:])
	}
	return list
}

// parent is the object above those of the kind, which only introspection and Peer know.
func (k *kind) parent(objects []*object) *object {
	return &object{path: k.above, interfaces: standardInterfaces(), children: k.elements(objects)}
}

// managed are the objects below the VM's, but for those that are there for introspection alone.
func (l *layout) managed(s *state) (list []*object) {
	for _, o := range l.fixed {
		if strings.HasPrefix(o.path, l.vm.path+"/") {
			list = append(list, o)
		}
	}
	slices.SortFunc(list, func(a, b *object) int { return strings.Compare(a.path, b.path) })
	for _, r := range s.readings {
		list = append(list, r.objects...)
	}
	return list
}

// vmObject is the VM's object as a state shows it: before, if that shows the same.
func (l *layout) vmObject(s *state, before *object) *object {
	now := *l.vm
	now.values = make([]inventory.Value, len(l.facts))
	for f, fact := range l.facts {
		now.values[f] = fact(s)
	}
	now.children = slices.Clip(now.children)
	for q, kind := range l.kinds {
		if kind != nil {
			now.children = append(now.children, kind.belowVM(s.readings[q].objects)...)
		}
	}
	if before != nil && slices.Equal(now.values, before.values) && slices.Equal(now.children, before.children) {
		return before
	}
	return &now
}
