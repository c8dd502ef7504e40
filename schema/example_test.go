package schema_test

import (
	"encoding/binary"
	"fmt"
	"os"

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

// A method has arguments of its own; what is wrong with them is said with its place.
func ExampleCommand() {
	text, err := os.ReadFile("testdata/schemas/qmp-schema-10.0.2-x86_64.json")
	if err != nil {
		panic(err)
	}
	table, err := schema.ParseTable(text)
	if err != nil {
		panic(err)
	}
	command := table.Method("BlockResize")
	fmt.Println(command.Name(), command.InSignature())

	var call wire.Encoder
	call.Reset()
	call.String("128M")
	d := wire.NewDecoder(binary.LittleEndian, "s", call.Bytes(), 0)
	_, err = command.AppendArguments(nil, &d, "s", nil)
	fmt.Println(err)

	// Output:
	// block_resize xa{sv}
	// block_resize.size: expected int, got string
}

func ExampleCanonical() {
	json, err := schema.Canonical(nil, []byte(`{ "id": "a", "id": "b" }`), "device_add")
	fmt.Println(len(json), err)

	// Output:
	// 0 device_add.id: duplicate object member name at byte 13
}
