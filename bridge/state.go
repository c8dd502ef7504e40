package bridge

import (
	"fmt"

	"github.com/google/uuid"

	"qmp-dbus-bridge/bridge/inventory"
)

// state is what the objects and their properties are at one moment. It never changes; a new one takes
// its place.
type state struct {
	identity
	connected     bool
	policyHash    string
	bridgeVersion string
	readings      [tellers]*reading
	vm            *object // the VM's, as all of the above makes it
}

// identity is the part of the state that one QEMU process never changes, and that stays when it has gone: it says which
// VM this was.
type identity struct{ name, uuid, version, target inventory.Value }

// forget makes the readings those without a QEMU: who is on the bus stays known.
func (s *state) forget() {
	for q := range inventory.Queries {
		s.readings[q] = nothing
	}
}

// canonicalUUID writes a UUID as RFC 9562 has it; a QEMU that tells none has none.
func canonicalUUID(s string) (string, error) {
	id, err := uuid.Parse(s)
	if err != nil {
		return "", fmt.Errorf("query-uuid: %w", err)
	}
	return id.String(), nil
}
