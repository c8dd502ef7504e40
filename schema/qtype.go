package schema

// kind is what the values of a QAPI type are in JSON.
type kind uint8

const (
	kindAny kind = iota // any JSON value; also of types that this package doesn't know
	kindString
	kindEnum
	kindInt
	kindNumber
	kindBool
	kindNull
	kindObject
	kindArray
	kindAlternate
)

// qtype is a QAPI type. Types refer to each other, in circles too.
type qtype struct {
	kind kind
	// signature is the D-Bus type: v where the value decides. In a variant the
	// value always decides, see variantOf.
	signature string

	values  []string // of an enum
	element *qtype   // of an array

	// An object's members, in the order of the schema, and of many where each is. A union
	// has more members: those of the branch that the value of its tag selects.
	members  []member
	index    map[string]int    // nil of a few
	tag      int               // index of the tag, -1 in what is no union
	branches map[string]*qtype // objects by value of the tag; nil in what is no union
	open     bool              // takes members that are not in the schema

	choices []*qtype // of an alternate, each of another kind
	flat    flat
}

// member is one member of an object.
type member struct {
	name     string
	quoted   string // as JSON writes it before the value
	optional bool
	of       *qtype
}

// flat is how large an object gets with the largest of its branches.
type flat struct {
	members int // together
	parts   int // types whose members they are; 0 before it is known
	busy    bool
}

// fewMembers is how many are looked through as fast as one of them is found in a map, which is two objects of 256 bytes.
const fewMembers = 8

// find returns where the member of that name is.
func (t *qtype) find(name []byte) (i int, found bool) {
	if t.index != nil {
		i, found = t.index[string(name)]
		return i, found
	}
	for i := range t.members {
		if t.members[i].name == string(name) {
			return i, true
		}
	}
	return 0, false
}

// choice returns the type of that kind among an alternate's, or nil.
func (t *qtype) choice(k kind) *qtype {
	for _, c := range t.choices {
		if c.kind == k {
			return c
		}
	}
	return nil
}

// signatures are the D-Bus types of all kinds but array.
var signatures = [...]string{
	kindAny: "v", kindString: "s", kindEnum: "s", kindInt: "x", kindNumber: "d",
	kindBool: "b", kindNull: "v", kindObject: "a{sv}", kindAlternate: "v",
}

// isEmpty reports whether an object has no members at all: as the type of a
// result it says that there is none.
func (t *qtype) isEmpty() bool {
	return t.kind == kindObject && len(t.members) == 0 && t.branches == nil
}
