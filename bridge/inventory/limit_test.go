package inventory_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"qmp-dbus-bridge/bridge/inventory"
)

// chardevs is a reply of query-chardev with these labels.
func chardevs(t *testing.T, labels ...string) []byte {
	t.Helper()
	list := []map[string]any{}
	for _, label := range labels {
		list = append(list, map[string]any{"label": label, "frontend-open": true, "filename": "null"})
	}
	text, err := json.Marshal(list)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// TestLimits has replies at each limit and one past it: what is left out is counted.
func TestLimits(t *testing.T) {
	labels := make([]string, inventory.MaxItems+1)
	for i := range labels {
		labels[i] = fmt.Sprint("c", i)
	}
	for _, test := range []struct {
		what        string
		labels      []string
		items, left int
	}{
		{"none", nil, 0, 0},
		{"as many as may be", labels[1:], inventory.MaxItems, 0},
		{"one more", labels, inventory.MaxItems, 1},
		{"the longest name", []string{strings.Repeat("_", inventory.MaxName)}, 1, 0},
		{"one longer, and another", []string{strings.Repeat("x", inventory.MaxName+1), "c"}, 1, 1},
		{"two with one name", []string{"a", "b", "a"}, 2, 1},
		{"no name", []string{""}, 0, 0},
	} {
		r, err := query(t, "query-chardev").Read(chardevs(t, test.labels...))
		if err != nil || len(r.Items) != test.items || r.Left != test.left {
			t.Errorf("%s: %d items, %d left out, %v; want %d, %d", test.what, len(r.Items), r.Left, err, test.items, test.left)
		}
	}
}

// TestText has texts that are not for D-Bus.
func TestText(t *testing.T) {
	long := strings.Repeat("x", inventory.MaxText)
	for text, want := range map[string]string{
		"":             "",
		"ä":            "ä",
		"a\x00b":       "a\uFFFDb",
		"a\xffb":       "a\uFFFDb",
		long:           long,
		long + "y":     long,
		long[1:] + "ä": long[1:],
		strings.Repeat("\x80", 2*inventory.MaxText): "",
	} {
		if got := inventory.Text(text).String(); got != want || !utf8.ValidString(got) {
			t.Errorf("Text(%q) = %q, want %q", text, got, want)
		}
	}
}

// TestNonsense has replies that are not what they should be: an error, and nothing read.
func TestNonsense(t *testing.T) {
	for i := range inventory.Queries {
		q := &inventory.Queries[i]
		for _, reply := range []string{"", "7", `[7]`, `[{]`, `[[]]`, `[{"label": 7, "id": 7, "device": 7, "name": 7, "cpu-index": -1, "data": 7}]`} {
			r, err := q.Read([]byte(reply))
			if err == nil || len(r.Items) != 0 || len(r.Facts) != len(q.Facts) {
				t.Errorf("%s: %s = %v, %v; want an error", q.Command, reply, r, err)
			}
		}
	}
}

// FuzzRead has anything be read: what comes of it is within the limits.
func FuzzRead(f *testing.F) {
	f.Add([]byte(`[{"label":"a","id":"b","device":"c","name":"d","type":"child<e>","cpu-index":0,"data":{"id":"f"}}]`))
	f.Fuzz(func(t *testing.T, reply []byte) {
		for i := range inventory.Queries {
			q := &inventory.Queries[i]
			r, _ := q.Read(reply)
			describe(t, q.Facts, r.Facts)
			for _, item := range r.Items {
				describe(t, q.Kind.Properties, item.Values)
			}
		}
	})
}
