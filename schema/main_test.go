package schema_test

import (
	"flag"
	"os"
	"testing"
)

// TestMain has fewer values generated under the race detector: all of them without it.
func TestMain(m *testing.M) {
	flag.Parse()
	chosen := false
	flag.Visit(func(f *flag.Flag) { chosen = chosen || f.Name == "rapid.checks" })
	if underRace && !chosen {
		if err := flag.Set("rapid.checks", "15"); err != nil {
			panic(err)
		}
	}
	os.Exit(m.Run())
}

// skipHuge skips a test of a limit on tens of megabytes under the race detector.
func skipHuge(t *testing.T) {
	t.Helper()
	if underRace {
		t.Skip("too large for the race detector; go test without it runs this")
	}
}
