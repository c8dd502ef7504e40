package inventory

// memory is a MemoryDeviceInfo: the kind says what data has, of which this is shown.
type memory struct {
	Kind string `json:"type"`
	Data struct {
		ID         string `json:"id"`
		Size       uint64 `json:"size"`
		Slot       *int64 `json:"slot"`
		Hotplugged bool   `json:"hotplugged"`
	} `json:"data"`
}

func readMemory(told memory) Item {
	return newItem(told.Data.ID,
		Text(told.Kind), Number(told.Data.Size), optional(told.Data.Slot), Flag(told.Data.Hotplugged))
}
