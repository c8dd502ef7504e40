package qmp

import "github.com/go-json-experiment/json/jsontext"

// Event is something that QEMU tells unasked.
type Event struct {
	Name      string         // such as "STOP"
	Data      jsontext.Value // an object, or nil if QEMU sent none; valid during the callback only
	Timestamp int64          // microseconds since the epoch by the host's clock, -1 if QEMU has none
}
