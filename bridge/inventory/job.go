package inventory

// job is the part of QEMU's JobInfo that is shown. How far it is, is not: no event tells that.
type job struct {
	ID     string `json:"id"`
	Type   string `json:"type"`
	Status string `json:"status"`
	Error  string `json:"error"`
}

func readJob(told job) Item {
	return Item{named(told.ID), []Value{Text(told.Type), Text(told.Status), Text(told.Error)}}
}
