package wire_test

import (
	"fmt"

	"qmp-dbus-bridge/schema/wire"
)

func Example() {
	var e wire.Encoder
	e.Begin(&wire.Header{Type: wire.MethodReturn, Serial: 7, ReplySerial: 3, Destination: ":1.5", Signature: "a{sv}"})
	e.OpenArray("{sv}")
	e.OpenDictEntry()
	e.String("status")
	e.OpenVariant("s")
	e.String("running")
	e.CloseVariant()
	e.CloseDictEntry()
	e.CloseArray()
	b, err := e.Finish()
	if err != nil {
		fmt.Println(err)
		return
	}

	m, err := wire.ParseMessage(b)
	if err != nil {
		fmt.Println(err)
		return
	}
	d := m.Decoder()
	d.Enter() // a{sv}
	for d.More() {
		d.Enter() // {sv}
		key := d.String()
		d.Enter() // v
		fmt.Println(m.ReplySerial, key, d.Type(), d.String())
		d.Exit()
		d.Exit()
	}
	d.Exit()
	if err := d.End(); err != nil {
		fmt.Println(err)
	}
	// Output: 3 status s running
}
