package inventory

import "strings"

// property is a QOM property; a child's type is child<TYPE>.
type property struct {
	Name string `json:"name"`
	Type string `json:"type"`
}

// readDevice reads a child of /machine/peripheral. What else is listed there is no device.
func readDevice(told property) Item {
	driver, isChild := strings.CutPrefix(told.Type, "child<")
	if !isChild {
		return Item{}
	}
	return newItem(told.Name, Text(strings.TrimSuffix(driver, ">")), Text(peripheral+told.Name))
}
