// Package helper follows the helpers of a VM on its bus: those that queue for org.qemu.VMState1, whose state QEMU's dbus-vmstate
// object migrates, and those that own a name of org.qemu.Helper1. It does no I/O: a [Bus] asks for it.
//
// # How helpers are found
//
// The bus tells of every connection that comes or goes and of names that change owners, but not of who queues behind
// the owner of a name. So the queue is read after each change, and again after twice as long each time, up to 30 s ([Follower.Poke]).
// Each that is new there is asked for its Id once, in its own time: no answer is waited for but by who [Follower.Look]s. One that fails to
// tell is asked again when the queue is read again. One that says nothing is not, since the bus keeps each question that waits, also not
// when it has left the queue and come back. While the queue can't be read, it is taken to be as it was.
//
// # What helpers can do
//
// A helper may be hostile: it can claim any Id, also another's, change it, never tell one, come and go. What it says decides
// nothing but what is shown of it. Each [Helper] has an Element of its own, whatever Ids they claim.
//
// # Limits
//
// [MaxHelpers] are shown, [MaxOfUser] of one user, in the order of the queue, of the first [MaxSeen] connections. An Id has
// [MaxID] bytes at most, as in QEMU. [MaxOpen] questions to connections of one user wait for an answer: another of that user is shown
// without an Id meanwhile. Who looks is told how many that queue it does not see ([View]). One that has not told its Id within [Patience] is shown without.
//
//	f := helper.New(helper.Config{Bus: bus, Show: show, Log: log})
//	f.Poke()     // when something has changed on the bus
//	f.Gone(":1.7")
//	f.Look(func(v helper.View) { ... v.Queue ... })
//	f.Close()
package helper
