package inventory

import "strings"

// deviceDriver is the index of a device's driver among its values.
const deviceDriver = 0

// readDevice reads a child of /machine/peripheral. What else is listed there is no device.
func readDevice(told Property) Item {
	driver, isChild := told.Child()
	if !isChild {
		return Item{}
	}
	return newItem(told.Name, Text(driver), path(peripheral+told.Name), Text(""))
}

// readBus reads the QOM path of a bus, whose last name is what device_add calls it. A device that is on none tells an
// empty one.
func readBus(path string) Value { return Text(path[strings.LastIndexByte(path, '/')+1:]) }
