package schema_test

import (
	"strings"
	"testing"

	"qmp-dbus-bridge/schema"
)

// Qt's tool is told the types that it does not know, and no others.
func TestQtTypes(t *testing.T) {
	for signature, want := range map[string]string{
		"s": "", "x": "", "v": "", "as": "", "av": "", // builtin
		"a{sv}": "QVariantMap", "aa{sv}": "QList&lt;QVariantMap&gt;", "aas": "QList&lt;QStringList&gt;",
		"ax": "QList&lt;qlonglong&gt;", "aax": "QList&lt;QList&lt;qlonglong&gt;&gt;", "ad": "QList&lt;double&gt;", "ab": "QList&lt;bool&gt;",
		"(ss)": "", "a{ss}": "", "a(ss)": "", "aa{ss}": "", "a{oa{sa{sv}}}": "", // Qt has no type for these
	} {
		args := []schema.Arg{{Type: "s"}, {Type: signature}}
		text := string(schema.AppendXML(nil, schema.Node{Interfaces: []schema.Interface{{
			Name:    "a.b",
			Methods: []schema.Method{{Name: "M", In: args, Out: args}},
			Signals: []schema.Signal{{Name: "S", Args: args}},
		}}}))
		count := 3 // In1 and Out1 of the method, Out1 of the signal
		if want == "" {
			count = 0
		}
		if got := strings.Count(text, "org.qtproject.QtDBus.QtTypeName."); got != count {
			t.Errorf("%s: %d annotations, want %d:\n%s", signature, got, count, text)
		}
		for _, place := range []string{"In1", "Out1"} {
			if want != "" && !strings.Contains(text, `QtTypeName.`+place+`" value="`+want+`"`) {
				t.Errorf("%s: %s is not %s:\n%s", signature, place, want, text)
			}
		}
	}
}
