package bridge_test

import (
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// mayImport says which of our packages each may import: arrows point one way. What is not
// listed here fails the test, so that a new package is given its place.
var mayImport = map[string][]string{
	"cmd/qmp-dbus-bridge": {"bridge", "bridge/access", "bridge/account", "bridge/action", "bridge/audit", "bridge/bus", "bridge/child", "bridge/endpoint", "bridge/patient", "bridge/policytext", "bridge/qmpserver", "bridge/sandbox", "cmd/rest", "qmp", "qmp/socket", "schema/wire"},
	"cmd/rest":            {},
	"bridge":              {"bridge/access", "bridge/action", "bridge/audit", "bridge/endpoint", "bridge/fdarg", "bridge/fdpass", "bridge/helper", "bridge/inventory", "bridge/picture", "bridge/qmpserver", "bridge/quota", "bridge/spelling", "bridge/turns", "qmp", "schema", "schema/wire"},
	"bridge/access":       {"bridge/account", "bridge/action", "bridge/policytext", "bridge/trusted"},
	"bridge/account":      {},
	"bridge/action":       {"bridge/spelling"},
	"bridge/audit":        {"bridge/access", "bridge/trusted"},
	"bridge/bus":          {"bridge/account", "bridge/child", "bridge/trusted"},
	"bridge/child":        {},
	"bridge/endpoint":     {"bridge/turns", "qmp/socket", "schema/wire"},
	"bridge/fdarg":        {"schema"},
	"bridge/fdpass":       {"bridge/fdarg", "bridge/inventory", "bridge/quota", "qmp", "schema"},
	"bridge/helper":       {"bridge/inventory"},
	"bridge/inventory":    {"schema", "schema/wire"},
	"bridge/patient":      {},
	"bridge/policytext":   {"bridge/account", "bridge/action", "bridge/spelling"},
	"bridge/qmpserver":    {"bridge/trusted", "qmp", "qmp/socket"},
	"bridge/quota":        {},
	"bridge/sandbox":      {},
	"bridge/picture":      {},
	"bridge/spelling":     {},
	"bridge/trusted":      {},
	"bridge/turns":        {},
	"qmp":                 {"qmp/socket"},
	"qmp/socket":          {},
	"qmp/fdtest":          {},
	"qmp/goqemu":          {"qmp", "schema"},
	"qmp/qmptest":         {"qmp/socket"},
	"schema":              {"schema/wire"},
	"schema/freeze":       {},
	"schema/schematest":   {"schema", "schema/wire"},
	"schema/wire":         {},
	"e2e":                 {},
	"e2e/rig":             {},
	"e2e/bench":           {"e2e/bench/figure", "schema/wire"},
	"e2e/bench/figure":    {},
}

const module = "qmp-dbus-bridge/"

func TestImports(t *testing.T) {
	out, err := exec.Command("go", "list", "-f", `{{.ImportPath}}{{range .Imports}} {{.}}{{end}}`, module+"...").CombinedOutput()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, out)
	}
	for line := range strings.Lines(string(out)) {
		fields := strings.Fields(strings.ReplaceAll(line, module, ""))
		allowed, known := mayImport[fields[0]]
		if !known {
			t.Errorf("%s has no place in the import graph", fields[0])
			continue
		}
		for _, imported := range fields[1:] {
			if _, ours := mayImport[imported]; ours && !slices.Contains(allowed, imported) {
				t.Errorf("%s imports %s", fields[0], imported)
			}
		}
	}
}

// TestPackagesListed is that README.md lists the packages, each above those that it imports.
func TestPackagesListed(t *testing.T) {
	text, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(text), "## Find your way")
	rows := map[string]int{}
	for i, line := range strings.Split(table, "\n") {
		cell, _, _ := strings.Cut(strings.TrimPrefix(line, "| "), " | ")
		for name := range strings.SplitSeq(cell, ", ") {
			rows[strings.Trim(name, "`")] = i
		}
	}
	for name, imported := range mayImport {
		if strings.HasPrefix(name, "e2e") { // programs for tests
			continue
		}
		if rows[name] == 0 {
			t.Errorf("README.md does not list %s", name)
		}
		for _, below := range imported {
			if rows[below] < rows[name] {
				t.Errorf("README.md lists %s above %s, which imports it", below, name)
			}
		}
	}
}

// TestProgramIsWithoutClients keeps what is for clients out of the program: go-qemu, and go-libvirt that comes with it.
func TestProgramIsWithoutClients(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", module+"cmd/...").CombinedOutput()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, out)
	}
	for imported := range strings.Lines(string(out)) {
		imported = strings.TrimSpace(imported)
		if imported == module+"qmp/goqemu" || strings.HasPrefix(imported, "github.com/digitalocean/") {
			t.Errorf("the program imports %s", imported)
		}
	}
}
