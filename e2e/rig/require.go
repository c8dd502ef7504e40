package rig

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// Require skips the test unless all programs are in PATH, and names those that
// are missing; with E2E_REQUIRE=1 it fails it.
func Require(t testing.TB, programs ...string) {
	t.Helper()
	var missing []string
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			missing = append(missing, p)
		}
	}
	if len(missing) > 0 {
		Lacking(t, "not installed: "+strings.Join(missing, ", "))
	}
}

// RequireRoot skips the test unless it runs as root, which acting as several
// users needs; with E2E_REQUIRE=1 it fails it.
func RequireRoot(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		Lacking(t, "acting as other users needs root")
	}
}

// Lacking skips the test, or fails it with E2E_REQUIRE=1, for want of something
// that only the test can look for; what says what.
func Lacking(t testing.TB, what string) {
	t.Helper()
	if os.Getenv("E2E_REQUIRE") == "1" {
		t.Fatalf("%s (E2E_REQUIRE=1)", what)
	}
	t.Skip(what)
}
