package schematest

import (
	"fmt"
	"strings"

	"qmp-dbus-bridge/schema"
	"qmp-dbus-bridge/schema/wire"
)

// Check returns what keeps the table from being a D-Bus interface: a name, type or signature that is not valid, or a member that is
// there twice.
func Check(i schema.Interface) error {
	if !wire.ValidInterface(i.Name) {
		return fmt.Errorf("'%s' is not an interface name", i.Name)
	}
	members := make(map[string]bool)
	for _, m := range i.Methods {
		if err := checkMember("method "+m.Name, m.Name, members, m.In, m.Out); err != nil {
			return fmt.Errorf("%s: %w", i.Name, err)
		}
	}
	for _, s := range i.Signals {
		if err := checkMember("signal "+s.Name, s.Name, members, s.Args); err != nil {
			return fmt.Errorf("%s: %w", i.Name, err)
		}
	}
	for _, p := range i.Properties {
		if err := checkMember("property "+p.Name, p.Name, members, []schema.Arg{{Type: p.Type}}); err != nil {
			return fmt.Errorf("%s: %w", i.Name, err)
		}
	}
	return nil
}

// checkMember checks a member with its lists of arguments. Members of
// different kinds share their names, since bindings make one object of them.
func checkMember(what, name string, members map[string]bool, lists ...[]schema.Arg) error {
	switch {
	case !wire.ValidMember(name):
		return fmt.Errorf("%s: not a member name", what)
	case members[name]:
		return fmt.Errorf("%s: the name is there twice", what)
	}
	members[name] = true
	for _, args := range lists {
		var signature strings.Builder
		for _, a := range args {
			signature.WriteString(a.Type)
			if first, rest := wire.SplitSignature(a.Type); first == "" || rest != "" {
				return fmt.Errorf("%s: '%s' is not one complete type", what, a.Type)
			}
		}
		if err := wire.ValidateSignature(signature.String()); err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
	}
	return nil
}
