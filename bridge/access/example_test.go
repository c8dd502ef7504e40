package access_test

import (
	"fmt"
	"log"

	"qmp-dbus-bridge/bridge/access"
	"qmp-dbus-bridge/bridge/action"
)

func Example() {
	grant, err := access.ParseGrant("operator=uid:1000")
	if err != nil {
		log.Fatal(err)
	}
	rules, err := access.New(access.Config{VM: "vm", BridgeUID: 500, Grants: []access.Grant{grant}})
	if err != nil {
		log.Fatal(err)
	}
	caller, err := access.NewCaller(":1.5", 1000, nil, 0, "")
	if err != nil {
		log.Fatal(err)
	}
	for _, command := range []string{"stop", "migrate"} {
		decision := rules.Decide(caller, action.Command(command), nil)
		fmt.Println(command, decision.Allowed(), decision.Policy())
	}
	// Output:
	// stop true operator
	// migrate false default-deny
}
