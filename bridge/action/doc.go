// Package action names what a caller may want to do, and says how much harm that can do.
//
//	stop := action.Command("stop")
//	stop.String() // "stop", its name in policies and in the audit
//	stop.Class()  // action.ClassLifecycle
//
// An Action is made by Command, Event, ReadProperties, Introspect or Subscribe, so that no name a caller can think of turns
// one kind of action into another. Commands and events have the class that risk.tsv and events.tsv give them, those that
// are not there the worst that they may have. methods.tsv says which command each of the bridge's own methods is decided as: OfMethod.
package action
