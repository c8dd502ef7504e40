package access_test

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/cedar-policy/cedar-go"
	"github.com/godbus/dbus/v5"

	"qmp-dbus-bridge/bridge/access"
	"qmp-dbus-bridge/bridge/action"
	"qmp-dbus-bridge/bridge/policytext"
)

func FuzzParseGrant(f *testing.F) {
	for _, seed := range []string{"viewer=uid:1000", "admin=gid:65534", "helper=user:root", "operator=group:", "=", "x=y:z"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		grant, err := access.ParseGrant(text)
		if err != nil {
			return
		}
		if grant.ID == 65534 || grant.ID == 4294967295 {
			t.Errorf("%q grants to nobody: %v", text, grant)
		}
		if again, err := access.ParseGrant(grant.String()); err != nil || again != grant {
			t.Errorf("%q: %v is read as %v, %v", text, grant, again, err)
		}
	})
}

// fuzzValue is one of the types that a bus could send, made from data.
func fuzzValue(kind byte, data []byte) any {
	padded := append(append([]byte{}, data...), 0, 0, 0, 0, 0, 0, 0, 0)
	switch kind % 9 {
	case 0:
		return binary.LittleEndian.Uint32(padded)
	case 1:
		gids := []uint32{}
		for ; len(data) >= 4; data = data[4:] {
			gids = append(gids, binary.LittleEndian.Uint32(data))
		}
		return gids
	case 2:
		return data
	case 3:
		return int32(binary.LittleEndian.Uint32(padded))
	case 4:
		return binary.LittleEndian.Uint64(padded)
	case 5:
		return strings.ToValidUTF8(string(data), "")
	case 6:
		return dbus.MakeVariant(data)
	case 7:
		return dbus.UnixFDIndex(binary.LittleEndian.Uint32(padded))
	}
	return len(data)%2 == 0
}

func FuzzParseCredentials(f *testing.F) {
	f.Add(":1.5", byte(0), []byte{232, 3, 0, 0}, byte(1), []byte{1, 0, 0, 0, 1, 0, 0, 0}, byte(2), []byte("label\x00"))
	f.Add(":1.5", byte(0), []byte{254, 255, 0, 0}, byte(1), []byte{}, byte(2), []byte("\x00"))
	f.Add("org.qemu", byte(3), []byte{}, byte(0), []byte{255, 255, 255, 255}, byte(5), []byte("a\x00b"))
	rules := newAuthorizer(f)
	f.Fuzz(func(t *testing.T, name string, k1 byte, uid []byte, k2 byte, gids []byte, k3 byte, label []byte) {
		reply := credentials{
			"UnixUserID":         dbus.MakeVariant(fuzzValue(k1, uid)),
			"UnixGroupIDs":       dbus.MakeVariant(fuzzValue(k2, gids)),
			"LinuxSecurityLabel": dbus.MakeVariant(fuzzValue(k3, label)),
		}
		caller, err := access.ParseCredentials(name, reply)
		if err != nil {
			if caller != nil || !errors.Is(err, access.ErrNoIdentity) {
				t.Errorf("got %v, %v", caller, err)
			}
			return
		}
		if want, ok := reply["UnixUserID"].Value().(uint32); !ok || caller.UID != want || want == 65534 || want == 4294967295 {
			t.Errorf("uid %d from %v", caller.UID, reply["UnixUserID"])
		}
		if strings.Contains(caller.Label, "\x00") || len(caller.Label) > 4096 || len(caller.GIDs) > 1024 {
			t.Errorf("label %q, %d groups", caller.Label, len(caller.GIDs))
		}
		rules.Decide(caller, action.Command("query-status"), nil)
	})
}

// FuzzCommand checks that no command is decided as anything else.
func FuzzCommand(f *testing.F) {
	for _, seed := range []string{"stop", "read-properties", "event:STOP", "class:read", "\x1b[0m\n", "command:stop", "é"} {
		f.Add(seed)
	}
	rules := newAuthorizer(f)
	viewer, err := access.NewCaller(":1.5", 1001, nil, 0, "")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, name string) {
		asked := action.Command(name)
		got := rules.Decide(viewer, asked, nil)
		if want := action.CommandClass(name) == action.ClassRead; got.Allowed() != want {
			t.Errorf("viewer: %q = %v by %s, want %v", name, got.Allowed(), got.Policy(), want)
		}
		for _, other := range []action.Action{
			action.ReadProperties(), action.Introspect(), action.Subscribe(), action.Event(name),
		} {
			if asked.String() == other.String() {
				t.Errorf("command %q is called like %v", name, other)
			}
		}
	})
}

// FuzzLabel checks that a label is taken for SELinux's only if it looks like that, and makes no policy fail.
func FuzzLabel(f *testing.F) {
	for _, label := range []string{
		"system_u:system_r:svirt_t:s0:c12,c345", "u:r:t", "u:r:t:s0-s15:c0.c1023", "a:b:c:s0:c1,c1", "unconfined", "::::", "",
	} {
		f.Add(label)
	}
	const level = `[A-Za-z_][\w.-]*(:c\d{1,4}([,.]c\d{1,4})*)?`
	context := regexp.MustCompile(`^[A-Za-z_][\w.-]*:[A-Za-z_][\w.-]*:[A-Za-z_][\w.-]*(:` + level + `(-` + level + `)?)?$`)
	rules := newAuthorizer(f, policyFile(f, `permit (principal, action, resource) when {
		principal has selinux && principal.selinux.user != "" && principal.selinux.role != "" && principal.selinux.type != "" &&
		(!(principal.selinux has categories) || !principal.selinux.categories.contains("c1024"))
	};`))
	f.Fuzz(func(t *testing.T, label string) {
		caller, err := access.NewCaller(":1.5", 1000, nil, 1, label)
		if err != nil {
			return
		}
		got := rules.Decide(caller, action.Command("stop"), nil)
		if got.Err() != nil {
			t.Error(got.Err())
		}
		if got.Allowed() && !context.MatchString(label) {
			t.Errorf("%q is taken for SELinux's", label)
		}
	})
}

// FuzzArguments checks what policies see of arguments against another reader of JSON: a caller gets no
// member past [...].containsAll, and no string that it did not send.
func FuzzArguments(f *testing.F) {
	for _, text := range []string{
		`{"a":"x"}`, `{"a":"x","b":[{"c":null}]}`, `{"a.b":1}`, `{"a":{"b":"x"}}`, `{"a":"x","a":"y"}`, `{"a":"\u0078"}`, `[]`, ``, `{"A":"x"}`,
		`{"a":1.5}`, `{"a":[1,[2,{"d":{}}]]}`, `{"a":"x"} `, "{\"a\":\"\xff\"}", `{"a":18446744073709551615}`,
	} {
		f.Add([]byte(text))
	}
	caller, err := access.NewCaller(":1.5", 1000, nil, 1, "")
	if err != nil {
		f.Fatal(err)
	}
	named := newAuthorizer(f, policyFile(f, `permit (principal, action, resource) when { ["a", "a.b"].containsAll(context.argumentNames) };`))
	equal := newAuthorizer(f, policyFile(f, `permit (principal, action, resource) when { context.arguments has a && context.arguments.a == "x" };`))
	absent := newAuthorizer(f, policyFile(f, `permit (principal, action, resource) when { !(context.arguments has a.b) };`))
	f.Fuzz(func(t *testing.T, text []byte) {
		read := map[string]any{}
		if len(text) > 0 && (!json.Valid(text) || json.Unmarshal(text, &read) != nil) {
			read = nil // for nobody
		}
		allowed := func(rules *access.Authorizer) bool {
			return rules.Decide(caller, action.Command("x"), text).Allowed()
		}
		inner, _ := read["a"].(map[string]any)
		if allowed(named) {
			_, a := read["a"]
			_, b := inner["b"]
			if read == nil || len(read) > 1 || len(read) == 1 && !a || len(inner) > 1 || len(inner) == 1 && !b {
				t.Errorf("%q has other names than a and a.b", text)
			}
		}
		if allowed(equal) && read["a"] != "x" {
			t.Errorf("%q: a is not x", text)
		}
		if _, found := inner["b"]; allowed(absent) && (read == nil || found) {
			t.Errorf("%q has a.b", text)
		}
	})
}

// FuzzPolicyFile checks that a file is taken if Cedar takes it and its words are right, and that all that is said
// about others has a place in them.
func FuzzPolicyFile(f *testing.F) {
	for _, seed := range []string{
		policytext.Builtin(), `permit (principal, action == Action::"stpo", resource);`, `@id("x")permit(principal in User::"1"`,
		"permit (principal, action, resource) when { principal has selinux.type && context[\"label\"] like \"\\*\" };",
		"/* é */ forbid (principal is Caller in Group::\"5\", action in [Action::\"\\u{73}top\",], resource);\n// end", "\x00", "\"\n", "\ufeff;",
	} {
		f.Add(seed)
	}
	path := policyFile(f, "")
	f.Fuzz(func(t *testing.T, text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		rules, err := newWithFiles(path)
		if err == nil {
			rules.Unreachable(true)
			if _, err := cedar.NewPolicyListFromBytes(path, []byte(text)); err != nil {
				t.Errorf("Cedar refuses %q: %v", text, err)
			}
			return
		}
		var problems policytext.Problems
		if !errors.As(err, &problems) || len(problems) == 0 {
			t.Fatalf("%q: %v is no list of problems", text, err)
		}
		lines := strings.Split(text, "\n")
		for _, p := range problems {
			if p.Line < 1 || p.Line > len(lines) || p.Column < 1 || p.Column > len([]rune(lines[p.Line-1]))+1 {
				t.Errorf("%q: no such place: %v", text, p)
			}
		}
	})
}
