package sandbox_test

import (
	"fmt"
	"testing"
)

// TestLack takes a part away, as on an older kernel, or one without it: the other one is
// entered, and what stays open is told.
func TestLack(t *testing.T) {
	requireLandlock(t, 1)
	for _, test := range []struct {
		call, said     string
		internet, file string // what becomes of an act that either part denies
	}{
		{"landlock_create_ruleset", "[landlock: any file that the user may open stays open to it]", "EPERM", "ok"},
		{"seccomp", "[seccomp: any system call stays possible]", "ok", "EACCES"},
	} {
		t.Run(test.call, func(t *testing.T) {
			said, ended := ends(t, "lack", lackVariable+"="+test.call)
			got := fmt.Sprintf("%s %s %s", said["lack/told"], said["lack/internet"], said["lack/file"])
			if want := test.said + " " + test.internet + " " + test.file; got != want {
				t.Errorf("%v: %s, want %s; it said %q", ended, got, want, said)
			}
		})
	}
}

// TestNoDirectory is a directory that isn't there.
func TestNoDirectory(t *testing.T) {
	requireLandlock(t, 1)
	said, ended := ends(t, "", dirVariable+"=/nonexistent")
	if got, want := said["enter"], `landlock: landlock_add_rule: open "/nonexistent/read": no such file or directory`; ended.ExitCode() != 1 {
		t.Errorf("%v: %q, want %q", ended, got, want)
	}
}
