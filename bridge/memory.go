package bridge

import (
	"strconv"

	"qmp-dbus-bridge/schema"
)

// setMemoryMethod has the balloon leave so much memory to the guest, which lets go over time: BALLOON_CHANGE tells.
func setMemoryMethod() method {
	in := []schema.Arg{{Name: "bytes", Type: "t"}}
	return argumentMethod("SetMemory", in, writeBalloon, func(r *request) { r.forwardShown(0) })
}

func writeBalloon(r *request) ([]byte, error) {
	d := r.Decoder()
	arguments := strconv.AppendUint([]byte(`{"value":`), d.Uint64(), 10)
	if err := d.Err(); err != nil {
		return nil, failuref(errInvalidArgs, "%v", err)
	}
	return append(arguments, '}'), inRange(r.Decoder(), r.action.String(), r.method.In)
}
