// Package quota is how many of some places each may have: a sender, all senders of a user, all users that are no administrators. Whoever
// has got all that they may leave one for somebody else.
//
// # Limits
//
// What [Taken] holds grows with those who have a place, of which there are at most as many as places. It is not safe for concurrent use.
//
// # Usage
//
//	taken := quota.NewTaken(quota.Places{Sender: 4, User: 5, Users: 6, All: 7})
//	c := quota.Claim{Sender: ":1.5", UID: 1000}
//	if taken.May(c) {
//		taken.Count(c, 1)
//		defer taken.Count(c, -1)
//	}
package quota
