package spelling_test

import (
	"strings"
	"testing"

	"qmp-dbus-bridge/bridge/spelling"
)

func TestNearest(t *testing.T) {
	known := []string{"stop", "cont", "query-status", "query-stats", "événement", "a"}
	for word, want := range map[string]string{
		"stop": "stop", "STOP": "stop", "stpo": "stop", "stopp": "stop", "sto": "stop", "top": "stop", "xtop": "stop",
		"stopppp": "", "s": "", "so": "", "": "",
		"query_status": "query-status", "Query-Status": "query-status", "query-stat": "query-stats",
		"evenement": "événement", "STPO": "stop", "QUERY-STAT": "query-stats", "éop": "", "b": "", "coool": "",
		strings.Repeat("stop", 1<<20): "", "\xff\xfe": "",
	} {
		if got := spelling.Nearest(word, known); got != want {
			t.Errorf("Nearest(%.20q) = %q, want %q", word, got, want)
		}
	}
	if got := spelling.Nearest("stop", nil); got != "" {
		t.Errorf("of no words: %q", got)
	}
}
