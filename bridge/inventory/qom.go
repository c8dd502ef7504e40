package inventory

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// MaxProperties bounds the properties of one QOM object that are read. A CPU has 512 (10.0), and what holds the devices of
// a q35 with 255 CPUs has 321 (7.2), about one for each CPU, of which newer ones take 4096.
const MaxProperties = 8192

// Property is a property of a QOM object, as qom-list tells it.
type Property struct {
	Name string `json:"name"`
	Type string `json:"type"` // child<TYPE> of an object that is part of it, link<TYPE> of another, else a type of QAPI or C
}

// Child tells whether the property is an object that is part of this one, and which type it has.
func (p Property) Child() (of string, is bool) {
	of, is = strings.CutPrefix(p.Type, "child<")
	return strings.TrimSuffix(of, ">"), is
}

// ReadProperties reads a reply to qom-list, and keeps nothing of it. The properties come sorted by name, no two with the
// same. left are those that were left out: beyond MaxProperties, with a name or type over MaxName, or with a repeated name.
func ReadProperties(reply []byte) (list []Property, left int, err error) {
	d := jsontext.NewDecoder(bytes.NewBuffer(reply), jsontext.AllowInvalidUTF8(true), jsontext.AllowDuplicateNames(true))
	if d.PeekKind() != jsontext.KindBeginArray {
		return nil, 0, errors.New("it is no list")
	}
	for _, err = d.ReadToken(); err == nil && d.PeekKind() != jsontext.KindEndArray; {
		var p Property
		if len(list) == MaxProperties {
			left++
			err = d.SkipValue()
		} else if err = json.UnmarshalDecode(d, &p); len(p.Name) > MaxName || len(p.Type) > MaxName {
			left++
		} else {
			list = append(list, p)
		}
	}
	if err != nil {
		return nil, 0, fmt.Errorf("it is no list of properties: %w", err)
	}
	slices.SortStableFunc(list, func(a, b Property) int { return strings.Compare(a.Name, b.Name) })
	all := len(list)
	list = slices.CompactFunc(list, func(a, b Property) bool { return a.Name == b.Name })
	return list, left + all - len(list), nil
}
