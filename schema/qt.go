package schema

import (
	"strconv"
	"strings"
)

// annotationQt names the Qt type of the argument whose direction and number follow it.
// qdbusxml2cpp knows only types without a dictionary or an array of arrays by itself, and
// stops at others.
const annotationQt = "org.qtproject.QtDBus.QtTypeName."

// appendQt appends the annotations with which qdbusxml2cpp takes these arguments; those of
// signals count as "Out".
func appendQt(annotations []Annotation, args []Arg, direction string) []Annotation {
	for i, a := range args {
		if name, builtin := qtType(a.Type); name != "" && !builtin {
			annotations = append(annotations, Annotation{annotationQt + direction + strconv.Itoa(i), name})
		}
	}
	return annotations
}

// qtTypes are the types with a name of their own in Qt.
var qtTypes = map[string]string{
	"s": "QString", "x": "qlonglong", "t": "qulonglong", "d": "double", "b": "bool", "v": "QDBusVariant",
	"as": "QStringList", "av": "QVariantList", "a{sv}": "QVariantMap",
}

// qtType returns the Qt type of one complete D-Bus type, "" for structs and for
// dictionaries of other kinds, and whether Qt's tool knows it.
func qtType(signature string) (name string, builtin bool) {
	if name := qtTypes[signature]; name != "" {
		return name, signature != "a{sv}"
	}
	element, isArray := strings.CutPrefix(signature, "a")
	if !isArray || strings.HasPrefix(element, "{") {
		return "", false
	}
	if name, _ := qtType(element); name != "" {
		return "QList<" + name + ">", false
	}
	return "", false
}
