// Package access says who a caller is and what it may do.
//
// A call passes two stages here:
//
//	unique name --Callers.Lookup--> *Caller --Authorizer.Decide--> Decision
//
// Callers asks the bus once per unique name for the credentials of whoever connected, over a
// bus connection of its own, and forgets them when the name goes. Every doubt (an error, no
// answer in a second, a missing uid, a value of the wrong type) means no identity, and without
// an identity nothing is allowed. The zero Caller has no identity, it is not root. Callers follows who
// owns which well-known names too, for policies that go by them: a name counts from when the bus
// has told, which may be a moment after a call that came right behind RequestName.
//
// An Authorizer holds the policy: the built-in one, the roles of the grants, and policy files, all in the Cedar
// language. It decides on an action.Action. Decide neither blocks nor talks to anyone; the zero Decision is a denial. What
// the policies say of a caller and an action is kept with the caller; a command's arguments are read only where a policy
// looks at them, and a policy that looks at what Cedar can't hold is an error, hence a denial.
//
// New takes a policy file only if package policytext finds nothing wrong with it. Unreachable finds permits that can never
// take effect (reach.go), which is for who writes policies, as are View, Where and Hash.
//
// Limits: 1024 callers known (CallersConfig), 16 lookups on the bus at a time, 256 waiting for one lookup, 1 s a lookup,
// 1024 groups and 4096 bytes of label a caller, 1 MiB a policy file, 4096 policies; of arguments that a policy looks at 32
// levels, 1024 values and 64 KiB of names; 64 names of a caller on the bus, and 1024 who own some.
//
// Usage:
//
//	callers := access.NewCallers(conn, access.CallersConfig{Log: log})
//	go callers.Run(ctx)
//	rules, err := access.New(access.Config{VM: "vm", BridgeUID: uid, Grants: grants})
//	...
//	caller, err := callers.Lookup(sender, retry) // access.ErrPending: retry is called later
//	decision := rules.Decide(caller, action.Command("stop"), nil)
//	if !decision.Allowed() {
//		// refuse; decision.Reason() says why
//	}
package access
