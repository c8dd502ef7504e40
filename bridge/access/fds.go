package access

import (
	"github.com/godbus/dbus/v5"
	"golang.org/x/sys/unix"
)

// closeFDs closes the fds of a message body, wherever the types that godbus decodes to can hold one.
func closeFDs(value any) {
	switch v := value.(type) {
	case dbus.UnixFD:
		unix.Close(int(v))
	case []dbus.UnixFD:
		for _, fd := range v {
			closeFDs(fd)
		}
	case dbus.Variant:
		closeFDs(v.Value())
	case []dbus.Variant:
		for _, element := range v {
			closeFDs(element)
		}
	case map[string]dbus.Variant:
		for _, element := range v {
			closeFDs(element)
		}
	case []any:
		for _, element := range v {
			closeFDs(element)
		}
	}
}
