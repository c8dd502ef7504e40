package bridge_test

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/godbus/dbus/v5"
	"github.com/google/go-cmp/cmp"

	"qmp-dbus-bridge/bridge/policytext"
	"qmp-dbus-bridge/schema"
)

// described is an interface of the bridge's own as introspection shows it, but for those that follow from QEMU's schema.
type described struct {
	short      string            // Block; empty for the VM's own
	methods    map[string]string // as docs/api.md writes them, and the command
	commands   map[string]string // the command of each method that is one
	signals    []string
	properties map[string]string // and their types
}

// interfaces describes those of all objects below the VM's, one of each kind.
func (c *caller) interfaces() []described {
	c.tb.Helper()
	var all []described
	seen := map[string]bool{}
	var visit func(path dbus.ObjectPath)
	visit = func(path dbus.ObjectPath) {
		n := c.introspect(path)
		for _, i := range n.Interfaces {
			if (i.Name == busName || strings.HasPrefix(i.Name, busName+".")) && !seen[i.Name] {
				seen[i.Name] = true
				all = append(all, describe(n, i.Name))
			}
		}
		for _, child := range n.Children {
			if at := path + "/" + dbus.ObjectPath(child.Name); at != qmpPath && path != qomPath {
				visit(at)
			}
		}
	}
	visit(vmPath)
	return all
}

func describe(n node, name string) described {
	_, short, _ := strings.Cut(name, busName+".")
	d := described{short: short, methods: map[string]string{}, commands: map[string]string{}, properties: map[string]string{}}
	for _, i := range n.Interfaces {
		if i.Name != name {
			continue
		}
		for _, m := range i.Methods {
			command := ""
			for _, a := range m.Annotations {
				if a.Name == schema.AnnotationCommand {
					command = strings.ReplaceAll(a.Value, " ", ", ")
					d.commands[m.Name] = a.Value
				}
			}
			d.methods[m.written()] = command
		}
		for _, s := range i.Signals {
			d.signals = append(d.signals, s.written())
		}
		for _, p := range i.Properties {
			d.properties[p.Name] = p.Type
		}
	}
	return d
}

// written is a method or signal as docs/api.md writes it: Name(t argument) -> type.
func (m nodeMember) written() string {
	var in, out []string
	for _, a := range m.Args {
		if a.Direction == "out" {
			out = append(out, " -> "+a.Type)
		} else {
			in = append(in, a.Type+" "+a.Name)
		}
	}
	return m.Name + "(" + strings.Join(in, ", ") + ")" + strings.Join(out, "")
}

// documented are the rows of docs/api.md that are about a method or signal, as written: what stands in their second column.
func documented(t *testing.T) (rows map[string][]string, text string) {
	t.Helper()
	data, err := os.ReadFile("../docs/api.md")
	if err != nil {
		t.Fatal(err)
	}
	rows = map[string][]string{}
	text = string(data)
	for _, row := range regexp.MustCompile(`(?m)^\| ([A-Z][\w.]*\([^|]*\)(?: -> \S+)?)(?: \w+)? \| ([^|]*?) ?\|`).FindAllStringSubmatch(text, -1) {
		rows[row[1]] = append(rows[row[1]], row[2])
	}
	return rows, text
}

// TestAPIDocumented compares docs/api.md with introspection: it has a row for each method and signal of the bridge's own, with
// the command, and no others; and it has all properties.
func TestAPIDocumented(t *testing.T) {
	rows, text := documented(t)
	told := map[string]bool{"Introspect()": true} // of each object
	w := serve(t, withObjects(t))
	w.withHelper()
	for _, d := range w.as(admin).interfaces() {
		prefix := ""
		if d.short != "" {
			prefix = d.short + "."
		}
		row := func(member string) (columns []string) {
			for _, name := range []string{prefix + member, member} { // an interface may have a table of its own
				if told[name] = told[name] || rows[name] != nil; rows[name] != nil {
					columns = append(columns, rows[name]...)
				}
			}
			return columns
		}
		for method, command := range d.methods {
			if !slices.Contains(row(method), command) {
				t.Errorf("docs/api.md has no row | %s%s | %s |", prefix, method, command)
			}
		}
		for _, signal := range d.signals {
			if row(signal) == nil {
				t.Errorf("docs/api.md has no row | %s%s |", prefix, signal)
			}
		}
		for name, of := range d.properties {
			if !regexp.MustCompile(`(?m)^\| ` + name + ` \| ` + of + ` \||^\|.*\b` + busName + `\.` + d.short + "`.*\\b" + name + `\b|^\| property ` + name + " " + of + ` \|`).MatchString(text) {
				t.Errorf("docs/api.md does not have the property %s%s %s", prefix, name, of)
			}
		}
	}
	for _, row := range slices.Sorted(maps.Keys(rows)) {
		if !told[row] {
			t.Errorf("docs/api.md has %s, which no object has", row)
		}
	}
}

// TestTables is that each table of the documents has a head: rows that an empty line parts from theirs are no table.
func TestTables(t *testing.T) {
	files, err := filepath.Glob("../docs/*.md")
	if err != nil || len(files) < 5 {
		t.Fatalf("%q, %v", files, err)
	}
	for _, file := range append(files, "../README.md", "../SECURITY.md") {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		lines := append(strings.Split(string(text), "\n"), "")
		for i, line := range lines {
			isFirst := strings.HasPrefix(line, "|") && (i == 0 || !strings.HasPrefix(lines[i-1], "|"))
			if isFirst && !strings.HasPrefix(lines[i+1], "|---") {
				t.Errorf("%s:%d: a table without a head: %s", file, i+1, line)
			}
		}
	}
}

// TestMethodTable compares the table of the methods that run commands with introspection: each row is one's, and each has its rows.
// A policy that names such a method is told the command that it is.
func TestMethodTable(t *testing.T) {
	text, err := os.ReadFile("action/methods.tsv")
	if err != nil {
		t.Fatal(err)
	}
	tabled := map[string]bool{}
	byMember := map[string][]string{} // commands; two interfaces may have a method of one name
	for line := range strings.Lines(string(text)) {
		if name, command, ok := strings.Cut(strings.TrimSpace(line), "\t"); ok && name[0] != '#' {
			tabled[name+" "+command] = true
			member := name[strings.IndexByte(name, '.')+1:]
			byMember[member] = append(byMember[member], command)
		}
	}
	shown := map[string]bool{}
	for _, d := range serve(t, withObjects(t)).as(admin).interfaces() {
		for method, commands := range d.commands {
			for command := range strings.FieldsSeq(commands) {
				if d.short != "QOM" { // it has Get and Set, as each object has
					shown[strings.TrimPrefix(d.short+"."+method, ".")+" "+command] = true
				}
			}
		}
	}
	if diff := cmp.Diff(shown, tabled); diff != "" {
		t.Errorf("methods.tsv (-shown on the bus +in the table):\n%s", diff)
	}
	for member, commands := range byMember {
		statements, _ := policytext.Parse("file", `permit (principal, action == Action::"`+member+`", resource);`)
		problems := statements[0].Check()
		if want := `: did you mean "` + commands[0] + `"?`; len(problems) != 1 || !strings.HasSuffix(problems[0].Text, want) {
			t.Errorf(`Action::"%s": %v, want %q`, member, problems, want)
		}
	}
}

// TestAPIContents compares the contents of docs/api.md with its headings.
func TestAPIContents(t *testing.T) {
	text, err := os.ReadFile("../docs/api.md")
	if err != nil {
		t.Fatal(err)
	}
	noAnchor := regexp.MustCompile(`[^a-z0-9 _-]`)
	var want []string
	for _, heading := range regexp.MustCompile(`(?m)^##(#?) (.*)$`).FindAllStringSubmatch(string(text), -1) {
		anchor := strings.ReplaceAll(noAnchor.ReplaceAllString(strings.ToLower(heading[2]), ""), " ", "-")
		want = append(want, strings.Repeat("  ", len(heading[1]))+"- ["+heading[2]+"](#"+anchor+")")
	}
	got := regexp.MustCompile(`(?m)^ *- \[.*\]\(#.*\)$`).FindAllString(string(text), -1)
	if !slices.Equal(got, want) {
		t.Errorf("the contents are\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}
