// Package account tells which users and groups of the system the command line names, and which ids stand for
// nobody. It asks the user database, which may be slow where that is on a network, so it is for the start:
// what a caller may do goes by the groups that the kernel says it has.
//
//	uid, err := account.ParseUser("anna") // or "1000"
package account
