package inventory

// chardev is the part of QEMU's ChardevInfo that is shown. Its file name is not: query-chardev is of a class above read
// because of it.
type chardev struct {
	Label string `json:"label"`
	Open  bool   `json:"frontend-open"`
}

func readChardev(told chardev) Item { return Item{named(told.Label), []Value{Flag(told.Open)}} }
