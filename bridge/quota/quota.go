package quota

import "fmt"

// Places is how many of some places some may have. Each number is below the next one, so that whoever has got all that they may leave one
// for somebody else.
type Places struct {
	Sender int // one sender
	User   int // all senders of a user that is no administrator
	Users  int // all users that are none
	All    int
}

// ForSender is p with another number for one sender. One that is not below the others lets a sender take what those allow.
func (p Places) ForSender(n int) Places {
	p.Sender = n
	return p
}

// Claim is who wants a place, or has it.
type Claim struct {
	Sender string
	UID    uint32
	Admin  bool
}

// Taken is how many of some places are taken, and by whom. [NewTaken] makes it.
type Taken struct {
	most   Places
	all    int
	users  int // of all, by who is no administrator
	sender map[string]int
	user   map[uint32]int
}

// NewTaken is none of most.
func NewTaken(most Places) Taken {
	return Taken{most: most, sender: map[string]int{}, user: map[uint32]int{}}
}

// May tells whether there is a place for c.
func (t *Taken) May(c Claim) bool {
	who, _ := t.full(c)
	return who == ""
}

// FullFor says who has all places that they may have, so that there is none for c, and how many those are: "you have 4".
func (t *Taken) FullFor(c Claim) string {
	who, most := t.full(c)
	return fmt.Sprintf("%s %d", who, most)
}

// full tells who has all places that they may have, and how many; nobody, "", if there is one for c.
func (t *Taken) full(c Claim) (who string, most int) {
	switch {
	case t.sender[c.Sender] >= t.most.Sender:
		return "you have", t.most.Sender
	case t.all >= t.most.All:
		return "all callers have", t.most.All
	case c.Admin:
		return "", 0
	case t.user[c.UID] >= t.most.User:
		return "your user has", t.most.User
	case t.users >= t.most.Users:
		return "all users who are no administrators have", t.most.Users
	}
	return "", 0
}

// Count adds n places of c, or takes them off where n is below 0. Whether c may have them, May tells.
func (t *Taken) Count(c Claim, n int) {
	t.all += n
	adjust(t.sender, c.Sender, n)
	if !c.Admin {
		t.users += n
		adjust(t.user, c.UID, n)
	}
}

// adjust adds n to what counts has for key, and keeps no zeros.
func adjust[K comparable](counts map[K]int, key K, n int) {
	if counts[key] += n; counts[key] == 0 {
		delete(counts, key)
	}
}
