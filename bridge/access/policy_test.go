package access_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"qmp-dbus-bridge/bridge/access"
	"qmp-dbus-bridge/bridge/action"
	"qmp-dbus-bridge/bridge/policytext"
	"qmp-dbus-bridge/e2e/rig"
)

// policyFile makes a policy file and returns its path.
func policyFile(tb testing.TB, text string) string {
	tb.Helper()
	path := filepath.Join(tb.TempDir(), "policy.cedar")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		tb.Fatal(err)
	}
	return path
}

func newWithFiles(files ...string) (*access.Authorizer, error) {
	return access.New(access.Config{VM: "vm", BridgeUID: uint32(os.Geteuid()), Files: files})
}

func TestPolicyFileDenies(t *testing.T) {
	rules := newAuthorizer(t, policyFile(t, `
		@id("not-you") forbid (principal in User::"1002", action == Action::"stop", resource);
		@id("all") permit (principal in User::"1000", action, resource);
		@id("other-vm") permit (principal in User::"1006", action, resource == VM::"other");
		@id("by-label") permit (principal in User::"1007", action, resource)
			when { principal has label && principal.label == "" };`))
	for _, tt := range []struct {
		uid    uint32
		action action.Action
		want   string
	}{
		{1002, action.Command("stop"), "not-you"},
		{1000, action.Command("qmp_capabilities"), "no-qmp-capabilities"},
		{1000, action.Command("quit"), "quit-stays-with-admin"},
		{1006, action.Command("stop"), "default-deny"},
		{1007, action.Command("stop"), "default-deny"},
	} {
		got := rules.Decide(newCaller(t, tt.uid), tt.action, nil)
		if got.Allowed() || got.Policy() != tt.want {
			t.Errorf("uid %d, %v: %v by %s, want a denial by %s", tt.uid, tt.action, got.Allowed(), got.Policy(), tt.want)
		}
	}
	if got := rules.Decide(newCaller(t, 1000), action.Command("stop"), nil); !got.Allowed() || got.Policy() != "all" {
		t.Errorf("uid 1000, stop: %v by %s, want allowed by all", got.Allowed(), got.Policy())
	}
}

// overflow is a condition that can't be evaluated, which nobody knows before.
const overflow = "principal.uid - 9223372036854775807 - 9223372036854775807 == 5"

// A policy that can't be evaluated denies whatever its effect is and whatever others permit.
func TestEvaluationErrorDenies(t *testing.T) {
	for name, text := range map[string]string{
		"forbid":            `forbid (principal, action == Action::"stop", resource) when { ` + overflow + ` };`,
		"permit":            `permit (principal, action == Action::"stop", resource) when { ` + overflow + ` };`,
		"unless":            `permit (principal, action == Action::"stop", resource) unless { ` + overflow + ` };`,
		"after a false one": `permit (principal, action == Action::"stop", resource) when { ` + overflow + ` } when { false };`,
		"no boolean":        `permit (principal, action == Action::"stop", resource) unless { context.arguments has a && context.arguments.a };`,
		"no number":         `permit (principal, action == Action::"stop", resource) when { context.arguments has a && context.arguments.a < 5 };`,
		"set of no set":     `permit (principal, action == Action::"stop", resource) when { context.arguments has a && context.arguments.a.contains(1) };`,
	} {
		rules := newAuthorizer(t, policyFile(t, `@id("broken") `+text))
		admin := newCaller(t, 1004)
		got := rules.Decide(admin, action.Command("stop"), []byte(`{"a":"x"}`))
		if got.Allowed() || got.Policy() != "error:broken" || got.Err() == nil || !strings.Contains(got.Err().Error(), "policy.cedar:1:1: ") {
			t.Errorf("%s: %v by %s, error %v, want a denial by error:broken", name, got.Allowed(), got.Policy(), got.Err())
		}
		if got := rules.Decide(admin, action.Command("cont"), nil); !got.Allowed() {
			t.Errorf("%s: another action is denied by %s", name, got.Policy())
		}
	}
}

func TestForbidIsNamedBeforeAnError(t *testing.T) {
	rules := newAuthorizer(t, policyFile(t, `
		@id("broken") permit (principal, action, resource) when { `+overflow+` };
		@id("no") forbid (principal, action, resource);`))
	if got := rules.Decide(newCaller(t, 0), action.Command("stop"), nil); got.Allowed() || got.Policy() != "no" {
		t.Errorf("%v by %s, want a denial by no", got.Allowed(), got.Policy())
	}
}

func TestLabelAndUID(t *testing.T) {
	rules := newAuthorizer(t, policyFile(t, `
		@id("label") permit (principal, action == Action::"stop", resource)
			when { principal has label && principal.label == "svirt" && context.label == "svirt" };
		@id("uid") permit (principal, action == Action::"cont", resource) when { principal.uid == 4294967294 };`))
	labelled, err := access.NewCaller(":1.6", 1000, nil, 1, "svirt")
	if err != nil {
		t.Fatal(err)
	}
	if got := rules.Decide(labelled, action.Command("stop"), nil); got.Policy() != "label" {
		t.Errorf("labelled: decided by %s (%v), want label", got.Policy(), got.Err())
	}
	if got := rules.Decide(newCaller(t, 1000), action.Command("stop"), nil); got.Allowed() {
		t.Errorf("no label: allowed by %s", got.Policy())
	}
	if got := rules.Decide(newCaller(t, 4294967294), action.Command("cont"), nil); got.Policy() != "uid" {
		t.Errorf("largest uid: decided by %s, want uid", got.Policy())
	}
}

func TestPolicyWithoutIDIsNamedByItsPlace(t *testing.T) {
	path := policyFile(t, "\n\npermit (principal, action, resource);")
	got := newAuthorizer(t, path).Decide(newCaller(t, 1000), action.Command("stop"), nil)
	if want := path + ":3:1"; got.Policy() != want {
		t.Errorf("decided by %s, want %s", got.Policy(), want)
	}
}

func TestBadPolicyFiles(t *testing.T) {
	for text, want := range map[string]string{
		"\n\nfoo;":                                            "policy.cedar:3:",
		"permit (principal, action":                           "policy.cedar:1:",
		`@id("") ` + permitAll:                                "cannot be an id",
		`@id("error:x") ` + permitAll:                         "cannot be an id",
		`@id("default-deny") ` + permitAll:                    "cannot be an id",
		"\n" + `@id("admin") ` + permitAll:                    "policy.cedar:2:1: a policy with the id \"admin\" exists already: builtin.cedar:27:1",
		`@id("` + strings.Repeat("x", 65) + `") ` + permitAll: "cannot be an id",
	} {
		if _, err := newWithFiles(policyFile(t, text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want one with %q", text, err, want)
		}
	}
	if _, err := newWithFiles(policyFile(t, `@id("`+strings.Repeat("x", 64)+`") `+permitAll)); err != nil {
		t.Errorf("id of 64 characters: %v", err)
	}
}

const permitAll = `permit (principal, action, resource);`

func TestPolicyFileSize(t *testing.T) {
	text := permitAll + strings.Repeat(" ", 1<<20-len(permitAll))
	if _, err := newWithFiles(policyFile(t, text)); err != nil {
		t.Errorf("1 MiB: %v", err)
	}
	if _, err := newWithFiles(policyFile(t, text+" ")); err == nil || !strings.Contains(err.Error(), "larger than") {
		t.Errorf("1 MiB and a byte: error %v", err)
	}
}

func TestUntrustedPolicyFiles(t *testing.T) {
	good := policyFile(t, permitAll)
	link, fifo := filepath.Join(t.TempDir(), "link"), filepath.Join(t.TempDir(), "fifo")
	writable := policyFile(t, permitAll)
	if err := os.Symlink(good, link); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(writable, 0o620); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		link: "is a symbolic link", fifo: "not a regular file", t.TempDir(): "not a regular file",
		writable: "lets others write", good + ".missing": "no such file",
	} {
		if _, err := newWithFiles(path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want one with %q", path, err, want)
		}
	}
	rig.RequireRoot(t)
	if err := os.Chown(good, 1000, 1000); err != nil {
		t.Fatal(err)
	}
	if _, err := newWithFiles(good); err == nil || !strings.Contains(err.Error(), "belongs to uid 1000") {
		t.Errorf("another user's file: error %v", err)
	}
}

// TestUntrustedDirectories has files that are root's where somebody else could put another file of root's in their place.
func TestUntrustedDirectories(t *testing.T) {
	rig.RequireRoot(t)
	for name, tt := range map[string]struct {
		uid  int
		mode os.FileMode
		want string // the error, after the directory; empty if it is taken
	}{
		"another's":   {1, 0o755, " belongs to uid 1, neither to root nor to uid "},
		"open to all": {0, 0o777, " can be written by others (mode 0777)"},
		"a group's":   {0, 0o775, " can be written by others (mode 0775)"},
		"sticky":      {0, 0o777 | os.ModeSticky, ""},
	} {
		t.Run(strings.ReplaceAll(name, " ", "-"), func(t *testing.T) {
			dir := rig.TempDir(t)
			file, link := dir+"/policy", filepath.Join(rig.TempDir(t), "link")
			if err := errors.Join(
				os.WriteFile(file, []byte(permitAll), 0o600), os.Symlink(dir, link), os.Chown(dir, tt.uid, 0), os.Chmod(dir, tt.mode),
			); err != nil {
				t.Fatal(err)
			}
			for _, path := range []string{file, link + "/policy"} {
				_, err := newWithFiles(path)
				if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), dir+tt.want)) {
					t.Errorf("%v, want %q", err, tt.want)
				}
			}
		})
	}
}

// problemsOf loads a policy file and returns what is wrong with it, LINE:COLUMN: text.
func problemsOf(t *testing.T, text string) []string {
	t.Helper()
	path := policyFile(t, text)
	_, err := newWithFiles(path)
	var problems policytext.Problems
	if err != nil && !errors.As(err, &problems) {
		t.Fatalf("%q: %v is no list of problems", text, err)
	}
	var lines []string
	for _, p := range problems {
		lines = append(lines, strings.TrimPrefix(p.Error(), path+":"))
	}
	return lines
}

// Each file's problems are told, not only the first file's.
func TestProblemsOfSeveralFiles(t *testing.T) {
	first, second := policyFile(t, `permit (principal, action == Action::"stpo", resource);`), policyFile(t, `permit`)
	_, err := newWithFiles(first, first+".missing", second)
	want := first + `:1:30: unknown command "stpo": did you mean "stop"?` + "\n" +
		first + ".missing: no such file or directory\n" + second + ":1:7: syntax: the file ends, want ("
	if err == nil || err.Error() != want {
		t.Errorf("error %v, want %s", err, want)
	}
}

func TestNumberOfPolicies(t *testing.T) {
	many := strings.Repeat(permitAll, 4096-7) // the built-in ones count
	if got := problemsOf(t, many); got != nil {
		t.Errorf("4096 policies: %q", got)
	}
	if got := problemsOf(t, many+"\n"+permitAll); len(got) != 1 || got[0] != "2:1: more than 4096 policies" {
		t.Errorf("4097 policies: %q", got)
	}
}
