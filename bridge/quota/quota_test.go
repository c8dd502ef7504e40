package quota_test

import (
	"testing"

	"qmp-dbus-bridge/bridge/quota"
)

// claimOf is that of a sender such as "7a": a of user 7. User 0 is an administrator.
func claimOf(sender string) quota.Claim {
	uid := uint32(sender[0] - '0')
	return quota.Claim{Sender: sender, UID: uid, Admin: uid == 0}
}

// TestTaken has places taken up to each limit, and one past it; when one is given back there is a place again.
func TestTaken(t *testing.T) {
	for name, test := range map[string]struct {
		have  []string // who has one, one for each time
		wants string
		full  string // why there is none
	}{
		"of a sender":                     {[]string{"7a", "7a"}, "7a", "you have 2"},
		"of an administrator's sender":    {[]string{"0a", "0a"}, "0a", "you have 2"},
		"of a user":                       {[]string{"7a", "7a", "7b"}, "7b", "your user has 3"},
		"of users":                        {[]string{"7a", "7b", "8a", "8b"}, "9a", "all users who are no administrators have 4"},
		"of all, who is none":             {[]string{"7a", "7b", "8a", "8b", "0a"}, "9a", "all callers have 5"},
		"of all, who is an administrator": {[]string{"0a", "0b", "0c", "0d", "0e"}, "0f", "all callers have 5"},
	} {
		taken := quota.NewTaken(quota.Places{Sender: 2, User: 3, Users: 4, All: 5})
		for _, sender := range test.have {
			if c := claimOf(sender); !taken.May(c) {
				t.Errorf("%s: none for %s, %s", name, sender, taken.FullFor(c))
			}
			taken.Count(claimOf(sender), 1)
		}
		c := claimOf(test.wants)
		if got := taken.FullFor(c); taken.May(c) || got != test.full {
			t.Errorf("%s: %v for %s, %q, want none, %q", name, taken.May(c), test.wants, got, test.full)
		}
		for _, sender := range test.have {
			taken.Count(claimOf(sender), -1)
		}
		if !taken.May(c) {
			t.Errorf("%s: none though all are given back, %s", name, taken.FullFor(c))
		}
	}
}

// TestForAdministrators has users that are none take all that they may: there is one for an administrator.
func TestForAdministrators(t *testing.T) {
	taken := quota.NewTaken(quota.Places{Sender: 9, User: 3, Users: 4, All: 5}.ForSender(2))
	for _, sender := range []string{"7a", "7a", "7b", "8a"} {
		taken.Count(claimOf(sender), 1)
	}
	for sender, want := range map[string]bool{"7a": false, "7c": false, "8a": false, "9a": false, "0a": true} {
		if got := taken.May(claimOf(sender)); got != want {
			t.Errorf("a place for %s: %v, want %v", sender, got, want)
		}
	}
}
