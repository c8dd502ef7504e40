// Package audit records what was decided: who asked for what, by which policy it was allowed or not, how it ended.
//
//	trail, err := audit.Open("/var/log/qmp-dbus-bridge/vm7.json", log)
//	...
//	decision := rules.Decide(caller, action, arguments)
//	if !decision.Allowed() {
//		trail.Write(audit.Record{Name: sender, Caller: caller, Decision: decision, Result: "denied"})
//	} else if trail.Reserve() == nil { // else refuse: what can't be recorded is not done
//		// execute
//		trail.Commit(audit.Record{Name: sender, Caller: caller, Decision: decision, Result: "ok"})
//	}
//
// Records go through a queue of 4096 to a destination, which writes a JSON line or a journal entry for each. Room in the
// queue is reserved before a command is executed. A destination that fails keeps what it has, and the queue fills up until
// it works again. Reopen goes on in another file when log rotation has moved the one that is open.
//
// What a record says and when there is one is a contract: docs/audit.md.
package audit
