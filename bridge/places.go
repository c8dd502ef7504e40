package bridge

import "fmt"

// places is how many of the places for commands some may have. Each number is below the next
// one, so that whoever has got all that they may leave one for somebody else.
type places struct {
	sender int // one sender
	user   int // all senders of a user that is no administrator
	users  int // all users that are none
	all    int
}

// forSender is p with another number for one sender.
func (p places) forSender(n int) places {
	p.sender = n
	return p
}

// claim is who wants a place, or has it.
type claim struct {
	sender string
	uid    uint32
	admin  bool
}

// occupancy is how many of some places are taken, and by whom.
type occupancy struct {
	most   places
	all    int
	users  int // of all, by who is no administrator
	sender map[string]int
	user   map[uint32]int
}

func newOccupancy(most places) occupancy {
	return occupancy{most: most, sender: map[string]int{}, user: map[uint32]int{}}
}

// may tells whether there is a place for c.
func (o *occupancy) may(c claim) bool {
	who, _ := o.full(c)
	return who == ""
}

// fullFor says who has all places that they may have, so that there is none for c, and how many those are.
func (o *occupancy) fullFor(c claim) string {
	who, most := o.full(c)
	return fmt.Sprintf("%s %d", who, most)
}

// full tells who has all places that they may have, and how many; nobody, "", if there is one for c.
func (o *occupancy) full(c claim) (who string, most int) {
	switch {
	case o.sender[c.sender] >= o.most.sender:
		return "you have", o.most.sender
	case o.all >= o.most.all:
		return "all callers have", o.most.all
	case c.admin:
		return "", 0
	case o.user[c.uid] >= o.most.user:
		return "your user has", o.most.user
	case o.users >= o.most.users:
		return "all users who are no administrators have", o.most.users
	}
	return "", 0
}

// count adds a place of c, n = 1, or takes it off, n = -1.
func (o *occupancy) count(c claim, n int) {
	o.all += n
	adjust(o.sender, c.sender, n)
	if !c.admin {
		o.users += n
		adjust(o.user, c.uid, n)
	}
}

// adjust adds n to what counts has for key, and keeps no zeros.
func adjust[K comparable](counts map[K]int, key K, n int) {
	if counts[key] += n; counts[key] == 0 {
		delete(counts, key)
	}
}
