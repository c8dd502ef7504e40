package account_test

import (
	"testing"

	"qmp-dbus-bridge/bridge/account"
)

func TestRefused(t *testing.T) {
	for _, parse := range map[string]func(string) (uint32, error){
		"user": account.ParseUser, "group": account.ParseGroup, "id": account.ParseID,
	} {
		for text, want := range map[string]string{
			"65534":                `id 65534 stands for nobody`,
			"4294967295":           `id 4294967295 stands for nobody`,
			"4294967296":           `"4294967296" is not a number from 0 to 4294967294`,
			"18446744073709551615": `"18446744073709551615" is not a number from 0 to 4294967294`,
		} {
			if id, err := parse(text); err == nil || err.Error() != want {
				t.Errorf("%s: %d, %v, want %s", text, id, err, want)
			}
		}
		for _, text := range []string{"", "-1", "+1", "1.0", " 1", "nobody-of-that-name"} {
			if id, err := parse(text); err == nil {
				t.Errorf("%q is %d", text, id)
			}
		}
	}
	if id, err := account.ParseUser("nobody"); err == nil { // whose uid is 65534
		t.Errorf("nobody is %d", id)
	}
}

func TestParse(t *testing.T) {
	for text, want := range map[string]uint32{"0": 0, "root": 0, "65533": 65533, "4294967294": 4294967294} {
		if id, err := account.ParseUser(text); err != nil || id != want {
			t.Errorf("ParseUser(%q) = %d, %v, want %d", text, id, err, want)
		}
	}
	if id, err := account.ParseGroup("root"); err != nil || id != 0 {
		t.Errorf("ParseGroup(root) = %d, %v", id, err)
	}
}

func TestIsMember(t *testing.T) {
	const stranger = 4000000
	for _, tt := range []struct {
		uid, gid      uint32
		member, known bool
	}{
		{stranger, 0, false, false},
		{0, stranger, false, true},
		{0, 0, true, true},
	} {
		if member, known := account.IsMember(tt.uid, tt.gid); member != tt.member || known != tt.known {
			t.Errorf("IsMember(%d, %d) = %v, %v, want %v, %v", tt.uid, tt.gid, member, known, tt.member, tt.known)
		}
	}
}

// TestIsKnown asks for root and his group, which every database has, and for ids that no Debian gives to anybody.
func TestIsKnown(t *testing.T) {
	for _, group := range []bool{false, true} {
		if !account.IsKnown(group, 0) || account.IsKnown(group, 64999) {
			t.Errorf("group %v: known are 0: %v, 64999: %v", group, account.IsKnown(group, 0), account.IsKnown(group, 64999))
		}
	}
}
