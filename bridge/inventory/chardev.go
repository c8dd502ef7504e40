package inventory

// chardev is QEMU's ChardevInfo.
type chardev struct {
	Label string `json:"label"`
	Open  bool   `json:"frontend-open"`
	File  string `json:"filename"`
}

func readChardev(told chardev) Item { return newItem(told.Label, Flag(told.Open), File(told.File)) }
