package bus_test

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"testing"

	"qmp-dbus-bridge/bridge/bus"
)

// FuzzRender: whatever the directory and the name are, the result is well-formed XML whose
// address and owned name are those that were given, or an error.
func FuzzRender(f *testing.F) {
	f.Add("/run/vm", "org.qemu.VM1")
	f.Add(`/a&b<c>"d"'e'%`, "a.b")
	f.Add("/\x00\xff", `a.b"/><allow user="*`)
	f.Fuzz(func(t *testing.T, dir, name string) {
		config := bus.Config{Dir: dir, BusName: name, Bridge: 1000}
		text, err := config.Render()
		if err != nil {
			return
		}
		if name == "" {
			name = bus.DefaultBusName
		}
		listen, owned := parse(t, text)
		if listen != config.Address() || len(owned) != 1 || owned[0] != name {
			t.Errorf("listen %q, want %q; own %q, want %q", listen, config.Address(), owned, name)
		}
	})
}

// parse returns the address and the names that somebody may own.
func parse(t *testing.T, text []byte) (listen string, owned []string) {
	t.Helper()
	d := xml.NewDecoder(bytes.NewReader(text))
	element := ""
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return listen, owned
		}
		if err != nil {
			t.Fatalf("%v in:\n%s", err, text)
		}
		switch token := token.(type) {
		case xml.StartElement:
			element = token.Name.Local
			for _, a := range token.Attr {
				if element == "allow" && a.Name.Local == "own" {
					owned = append(owned, a.Value)
				}
			}
		case xml.EndElement:
			element = ""
		case xml.CharData:
			if element == "listen" {
				listen += string(token)
			}
		}
	}
}
