package inventory

// readDevice reads a child of /machine/peripheral. What else is listed there is no device.
func readDevice(told Property) Item {
	driver, isChild := told.Child()
	if !isChild {
		return Item{}
	}
	return newItem(told.Name, Text(driver), Text(peripheral+told.Name))
}
