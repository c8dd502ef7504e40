package inventory

import (
	"cmp"
	"strconv"
)

// cpu is the part of QEMU's CpuInfoFast that is shown.
type cpu struct {
	Index    uint32 `json:"cpu-index"`
	ThreadID uint32 `json:"thread-id"`
	QomPath  string `json:"qom-path"`
	Place    struct {
		Socket *int64 `json:"socket-id"`
		Core   *int64 `json:"core-id"`
		Thread *int64 `json:"thread-id"`
	} `json:"props"`
}

// readCPUs reads the CPUs and how many there are.
func readCPUs(reply []byte) (Reading, error) {
	r, err := list(readCPU)(reply)
	r.Facts = []Value{Number(uint64(len(r.Items)))}
	return r, err
}

func readCPU(told cpu) Item {
	index := strconv.FormatUint(uint64(told.Index), 10)
	return Item{ID: index, Element: index, Values: []Value{
		Number(uint64(told.Index)), Number(uint64(told.ThreadID)), path(told.QomPath),
		optional(told.Place.Socket), optional(told.Place.Core), optional(told.Place.Thread),
	}}
}

// optional is a number that QEMU may leave out: then it is -1.
func optional(n *int64) Value {
	none := int64(-1)
	return Integer(*cmp.Or(n, &none))
}
