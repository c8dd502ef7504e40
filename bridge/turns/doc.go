// Package turns is whose turn it is among those who wait in groups: groups take turns, and
// so do the members of each. However many members a group has, another group waits for one
// of them at most.
//
// The bridge has it decide whose calls are handled next (bridge/endpoint), and whose commands
// QEMU gets next.
//
// [Rests] are groups that may have none for a time.
//
// # Limits
//
// A [List] has none: whoever adds to it bounds how many wait. It is not safe for concurrent use. Its
// methods take time by the number of groups, or, where some may not have a turn, of members.
//
// # Usage
//
//	var waiting turns.List[uint32, string] // senders by uid
//	waiting.Add(1000, ":1.5")
//	waiting.Add(0, ":1.7")
//	sender, found := waiting.Next(nil) // ":1.5"
package turns
