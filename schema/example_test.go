package schema_test

import (
	"encoding/binary"
	"fmt"

	"qmp-dbus-bridge/schema"
	"qmp-dbus-bridge/schema/wire"
)

// A caller's a{sv} becomes QMP arguments, and the reply becomes a variant.
func Example() {
	var call wire.Encoder
	call.Reset()
	call.OpenArray("{sv}")
	call.OpenDictEntry()
	call.String("size")
	call.OpenVariant("u")
	call.Uint32(1048576)
	call.CloseVariant()
	call.CloseDictEntry()
	call.CloseArray()
	d := wire.NewDecoder(binary.LittleEndian, "a{sv}", call.Bytes(), 0)
	arguments, err := schema.AppendObject(nil, &d, "block_resize")
	fmt.Println(string(arguments), err)

	var reply wire.Encoder
	reply.Reset()
	err = schema.EncodeVariant(&reply, []byte(`{"running": true}`))
	fmt.Println(reply.Len(), "bytes", err)

	// Output:
	// {"size":1048576} <nil>
	// 36 bytes <nil>
}

func ExampleCanonical() {
	json, err := schema.Canonical(nil, []byte(`{ "id": "a", "id": "b" }`), "device_add")
	fmt.Println(len(json), err)

	// Output:
	// 0 device_add.id: duplicate object member name at byte 13
}
