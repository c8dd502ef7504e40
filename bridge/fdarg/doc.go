// Package fdarg knows where a command of QEMU's takes a file descriptor: the arguments that QEMU reads as the name of
// one (getfd), or as a file's, for which a set of descriptors stands (add-fd).
//
//	placed, err := fdarg.Place(command, arguments, given, fds) // given by package schema, fds those of the call
//	decide(placed.Decided)                                     // each reads "fd:" or "/dev/fdset/"
//	run(placed.Named(names))                                   // and here what QEMU knows it by
//
// What is decided and what is run differ by those names alone. No caller can write what a descriptor is decided as: [Check]
// refuses it, and names that are others'.
//
// The table is members.go. It is of facts about QEMU, which were tried with 7.2.22 and 10.0.2 but where it says otherwise. The package
// is pure but that it looks at what descriptors are open for.
package fdarg
