package access_test

import (
	"strings"
	"testing"

	"qmp-dbus-bridge/bridge/access"
	"qmp-dbus-bridge/bridge/policytext"
)

func TestParseGrantRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"":                          "want ROLE=SUBJECT",
		"viewer":                    "want ROLE=SUBJECT",
		"viewer:uid=1":              "unknown role",
		"root=uid:1":                "unknown role",
		"Viewer=uid:1":              "unknown role",
		"=uid:1":                    "unknown role",
		"viewer=":                   "unknown subject",
		"viewer=1000":               "unknown subject",
		"viewer=pid:1":              "unknown subject",
		"viewer=uid:":               "not a number",
		"viewer=uid:-1":             "not a number",
		"viewer=uid:+1":             "not a number",
		"viewer=uid:0x10":           "not a number",
		"viewer=uid: 1":             "not a number",
		"viewer=uid:1,uid:2":        "not a number",
		"viewer=uid:4294967296":     "not a number",
		"viewer=uid:4294967295":     "stands for nobody",
		"viewer=gid:4294967295":     "stands for nobody",
		"admin=uid:65534":           "stands for nobody",
		"admin=gid:65534":           "stands for nobody",
		"admin=user:":               "unknown user",
		"admin=user:no such user":   "unknown user",
		"admin=group:no such group": "unknown group",
	} {
		grant, err := access.ParseGrant(text)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("ParseGrant(%q) = %v, %v, want an error with %q", text, grant, err, want)
		}
	}
}

func TestParseGrant(t *testing.T) {
	for text, want := range map[string]access.Grant{
		"viewer=uid:1000":       {Role: policytext.RoleViewer, ID: 1000},
		"operator=gid:0":        {Role: policytext.RoleOperator, Group: true},
		"helper=uid:4294967294": {Role: policytext.RoleHelper, ID: 4294967294},
		"admin=uid:65533":       {Role: policytext.RoleAdmin, ID: 65533},
		"admin=uid:65535":       {Role: policytext.RoleAdmin, ID: 65535},
		"viewer=user:root":      {Role: policytext.RoleViewer},
		"viewer=group:root":     {Role: policytext.RoleViewer, Group: true},
	} {
		got, err := access.ParseGrant(text)
		if err != nil || got != want {
			t.Errorf("ParseGrant(%q) = %v, %v, want %v", text, got, err, want)
		}
		if again, err := access.ParseGrant(got.String()); err != nil || again != got {
			t.Errorf("ParseGrant(%q) = %v, %v, want %v", got.String(), again, err, got)
		}
	}
}
