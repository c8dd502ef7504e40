package endpoint

import "fmt"

// load is what waits: the calls of one sender, or of many.
type load struct {
	senders int
	bytes   int
	fds     int
}

// add adds m, n = 1, or takes it off, n = -1.
func (l *load) add(m load, n int) {
	l.senders += n * m.senders
	l.bytes += n * m.bytes
	l.fds += n * m.fds
}

// pool is a part of what all senders may make us hold, which some of them share.
type pool struct {
	load         // what they hold
	share int    // what they may, in eighths
	whose string // in the text of a refusal
}

// The shares in eighths of MaxSenders, of MaxQueuedTotal and of the descriptors. Those who have all of one leave
// something for those who are not among them: one user for another, and all together for administrators.
const (
	accountShare = 4 // of the senders of one account
	usersShare   = 6 // of those who are known and no administrators
	othersShare  = 7 // of these and those who are not known yet, as an administrator is at first
	allShare     = 8
)

// exceeds tells which limit the pool would exceed with more, if any.
func (p *pool) exceeds(more load, limits *Limits) string {
	more.add(p.load, 1)
	switch {
	case more.senders > MaxSenders*p.share/allShare:
		return fmt.Sprintf("too many callers%s have calls waiting; try again later", p.whose)
	case more.bytes > MaxQueuedTotal*p.share/allShare:
		return fmt.Sprintf("the calls%s that wait here are too large; try again later", p.whose)
	case more.fds > limits.HeldFDs*p.share/allShare:
		return fmt.Sprintf("too many file descriptors%s are waiting here; try again later", p.whose)
	}
	return ""
}

// pools are those that accounts share.
type pools struct {
	all    pool
	others pool // of whom administrators are not
	users  pool // of others who are known
}

func newPools() pools {
	const whose = " of users who are no administrators"
	return pools{pool{share: allShare}, pool{share: othersShare, whose: whose}, pool{share: usersShare, whose: whose}}
}

// drawnBy appends to list those that a sender draws from.
func (ps *pools) drawnBy(list []*pool, a *account, admin bool) []*pool {
	list = append(list, &a.pool, &ps.all)
	if !admin {
		list = append(list, &ps.others)
		if a.key != Unknown {
			list = append(list, &ps.users)
		}
	}
	return list
}
