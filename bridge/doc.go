// Package bridge shows one QEMU as org.qemu.VM1 on a D-Bus: it joins the QMP client, the
// seat on the bus, the policy and the transcoding.
//
// # The path of a call
//
//	identify -> resolve -> parse -> decide -> execute -> reply -> audit
//
// [Bridge.Handle] begins that path for what comes by the bus, and QMP sessions, below, for what comes by them; there is no other: a
// method runs when the policy has
// allowed its action, and a caller's command reaches QEMU only through request.start and forwardAs, which
// check that it is the one that was decided. Up to where the command is written the path runs on the
// goroutine that took the call's turn in the endpoint's queue; the rest on the one that read QEMU's answer, or that
// made a picture of it. None of them ever blocks: a call whose caller is not
// known yet, or that finds no free place in QEMU's queue, waits in the endpoint's queue.
//
// # Limits and turns
//
// What a caller or QEMU can make the bridge hold is bounded by [Limits], and by what docs/api.md
// lists besides. Users take turns, and so do the senders of each: with what waits in the
// endpoint's queue, and with the places in QEMU's (slots.go), of which no sender, no user, and no
// number of users that are no administrators can keep all.
//
// # The path of a screenshot
//
// It is a call as all are, whose command gets one argument more after it was decided, the name of a file of the bridge's
// (request.forwardInto). One is taken at a time: screens has the turns, shot is one with its steps, prints are what callers have
// open. Package picture makes what QEMU wrote into what the caller gets.
//
// # The path of a descriptor
//
// What a caller gives in place of a string, package schema finds, package fdarg knows what for (its table is of facts about QEMU), and package
// fdpass hands over: getfd or add-fd, the command, closefd or remove-fd. The command is decided with a text in place of the name, and run with
// the name. What QEMU keeps for block nodes and jobs, what the end of a connection has left over, and what callers have passed with getfd and add-fd,
// each with its owner, fdpass takes back. Here are the methods of those commands (fdcommand.go), and what fdpass is told (passing.go).
//
// # QMP sessions
//
// Package qmpserver speaks QMP with a client, and a session makes a request of each of its commands, one at a time: the
// path above from parse on. Who has come to the listening socket gets there by a request too (entrance.go); who calls OpenQMP by
// that call. Each session has a goroutine, which waits where a call of the bus would be told Later.
//
// # The path of an event
//
// The QMP reader hands each event to the bridge, which sends the signal at once if the
// bus takes it. What it does not take in time is dropped, counted and announced (Lost). The QMP sessions that may have it
// get it before.
//
// # The path of a change
//
// Package inventory knows what QEMU is asked, and after which events and commands it is asked again. The
// mirror asks, one command at a time, and after each answer swaps the state as a whole: immutable objects with their values, found by
// the layout. What an event tells by itself is shown before that. Of a QEMU that has just come it asks as much at a time as QEMU's queue
// takes, while QEMU tells its commands, and shows all together. The audience knows what the bus has been told and tells it the rest, each object's changes in one
// PropertiesChanged; what the bus does not take is told later. Reads are answered from the state. What becomes of jobs that QEMU
// lets go of is in a ledger, which events and callers' commands write.
//
// # Helpers
//
// Package helper knows who helps on the bus. It asks over the seat (helper.go), which takes an answer for what a stranger may have
// sent, and the mirror shows what it has found beside what QEMU tells. QEMU migrates their state by an object of its own (vmstate.go); before a
// migration begins it is seen whether it can (readiness.go).
//
// # QEMU's object tree
//
// Of the tree below /org/qemu/VM1/QOM (qom.go) nothing is kept. Any path that can be one there resolves, and each
// call is a command about that path, decided and forwarded as any other; QEMU says whether the object is there.
//
// # Life
//
//	b := bridge.New(config)
//	err := b.Connect(ctx)       // reaches QEMU once: its state and commands are known; Reach does not wait for that
//	err = b.Join(ctx, address, policy) // takes its seat on a bus
//	err = b.Run(ctx)            // serves, reconnecting to QEMU, until ctx ends
//	err = b.Close()
package bridge
