package access_test

import (
	"os"
	"regexp"
	"testing"
)

// The policies that docs/policy.md shows are right.
func TestPoliciesOfTheGuide(t *testing.T) {
	text, err := os.ReadFile("../../docs/policy.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?s)```cedar\n(.*?)```").FindAllSubmatch(text, -1)
	if len(blocks) < 3 {
		t.Fatalf("%d policies in the guide", len(blocks))
	}
	for _, block := range blocks {
		if got := problemsOf(t, string(block[1])); got != nil {
			t.Errorf("%s\n%q", block[1], got)
		}
	}
}
