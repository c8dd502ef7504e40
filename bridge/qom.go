package bridge

import (
	"strings"

	"qmp-dbus-bridge/bridge/inventory"
	"qmp-dbus-bridge/schema"
)

// nameQOM is the last element of the path of the root of QEMU's object tree.
const nameQOM = "QOM"

// What of QEMU's object tree has a path on the bus. A q35 has objects at most 5 names deep, and paths of at most 70
// bytes (7.2, 10.0).
const (
	maxQOMDepth = 32   // names
	maxQOMPath  = 1024 // bytes of the path in QEMU
)

// qomTree shows QEMU's object tree (QOM): the path of each object there, escaped, is one below root. Nothing of it is
// kept; QEMU is asked with each call, and only by the command that the call is decided as.
type qomTree struct {
	root       string // /org/qemu/VM1/QOM
	interfaces []*iface
	main       *iface
}

func newQOMTree(root string) *qomTree {
	main := qomInterface()
	return &qomTree{root: root, main: main, interfaces: append(standardQOMInterfaces(), main)}
}

// object is the one at path, or nil if no object of QEMU's tree can have that path. Whether QEMU has it, a command
// about it tells.
func (t *qomTree) object(path string) *object {
	place, found := t.place(path)
	if !found {
		return nil
	}
	return &object{path: path, interfaces: t.interfaces, main: t.main, qom: place}
}

// place is where in QEMU's tree a path on the bus is, in the one form that QEMU itself writes, so that no object has
// two paths here but by its tree's links. A name with a slash in it has no place: QEMU would take it for two.
func (t *qomTree) place(path string) (place string, found bool) {
	below, found := strings.CutPrefix(path, t.root)
	switch {
	case !found || len(below) > 3*maxQOMPath || below != "" && below[0] != '/':
		return "", false
	case below == "":
		return "/", true
	}
	elements := strings.Split(below[1:], "/")
	var b strings.Builder
	for _, element := range elements {
		name, found := inventory.ID(element)
		if !found || name == "" || strings.ContainsAny(name, "/\x00") {
			return "", false
		}
		b.WriteByte('/')
		b.WriteString(name)
	}
	_, err := schema.AppendString(nil, b.String(), "path") // what can't be said to QEMU it can't have
	return b.String(), err == nil && len(elements) <= maxQOMDepth && b.Len() <= maxQOMPath
}

// children are the elements of the objects right below the one at path, which has these properties; left counts
// those that have no path here. Links are not among them: what is linked to is shown where it belongs, so that a walk
// of the tree ends.
func (t *qomTree) children(path string, properties []inventory.Property) (elements []string, left int) {
	for _, p := range properties {
		if _, isChild := p.Child(); !isChild {
			continue
		}
		element := inventory.Element(p.Name)
		if _, found := t.place(path + "/" + element); !found {
			left++
			continue
		}
		elements = append(elements, element)
	}
	return elements, left
}

// node is the introspection data of the request's object, for the caller: the VM's shows QEMU's object tree while there is
// one, to those who may walk it.
func (r *request) node() schema.Node {
	n := r.object.node()
	if r.Path == r.bridge.paths.vm && r.mayWalkQOM() {
		n.Children = append(n.Children[:len(n.Children):len(n.Children)], nameQOM)
	}
	return n
}
