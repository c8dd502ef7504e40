package access

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/godbus/dbus/v5"
)

// ParseCredentials reads the reply to GetConnectionCredentials for the unique name. The uid has to be
// there; groups, process id and label may be missing. Any of them with the wrong type, and all that
// NewCaller refuses, is ErrNoIdentity. Unknown keys are left alone; fds are not closed here.
func ParseCredentials(name string, credentials map[string]dbus.Variant) (*Caller, error) {
	uid, found, err := credential[uint32](credentials, "UnixUserID")
	if err == nil && !found {
		err = errors.New("no UnixUserID")
	}
	if err != nil {
		return nil, noIdentity(name, err.Error())
	}
	gids, _, err := credential[[]uint32](credentials, "UnixGroupIDs")
	if err != nil {
		return nil, noIdentity(name, err.Error())
	}
	pid, _, err := credential[uint32](credentials, "ProcessID")
	if err != nil {
		return nil, noIdentity(name, err.Error())
	}
	label, _, err := credential[[]byte](credentials, "LinuxSecurityLabel")
	if err != nil {
		return nil, noIdentity(name, err.Error())
	}
	return NewCaller(name, uid, gids, pid, string(bytes.TrimSuffix(label, []byte{0})))
}

// credential is one value of the reply. The types are godbus's for u, au and ay.
func credential[T any](credentials map[string]dbus.Variant, key string) (value T, found bool, err error) {
	variant, found := credentials[key]
	if !found {
		return value, false, nil
	}
	value, ok := variant.Value().(T)
	if !ok {
		return value, true, fmt.Errorf("%s has type %s", key, variant.Signature())
	}
	return value, true, nil
}
