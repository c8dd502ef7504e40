package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The table that is shipped is what the captured schemas make of it: no command of
// theirs is missing, and none of them breaks a signature.
func TestTableIsUpToDate(t *testing.T) {
	shipped := read(t, "../frozen.tsv")
	path := write(t, "frozen.tsv", shipped)
	if status, text := runFreeze(path, "../testdata/schemas"); status != 0 {
		t.Fatal(text)
	}
	if read(t, path) != shipped {
		t.Error("frozen.tsv is not up to date: go generate ./schema")
	}
}

// types is a small schema; its command is given by the test.
const types = `[{"meta-type":"builtin","name":"str","json-type":"string"},{"meta-type":"builtin","name":"int","json-type":"int"},
	{"meta-type":"object","name":"0","members":[]},{"meta-type":"array","name":"[int]","element-type":"int"},
	{"meta-type":"object","name":"1","members":[MEMBERS]},
	{"meta-type":"command","name":"cmd","arg-type":"1","ret-type":"RESULT"}]`

func capturing(members, result string) string {
	return strings.NewReplacer("MEMBERS", members, "RESULT", result).Replace(types)
}

func TestFreeze(t *testing.T) {
	const frozen = header + "cmd\ta:s\t-\t-\nold\tb:x\toptions\tv\n"
	for _, test := range []struct{ name, members, result, want, failure string }{
		{"as it is", `{"name":"a","type":"str"}`, "0", frozen, ""},
		{"an option", `{"name":"a","type":"str"},{"name":"b","type":"int","default":null}`, "0", strings.Replace(frozen, "a:s\t-", "a:s\toptions", 1), ""},
		{"one more", `{"name":"b","type":"int"},{"name":"a","type":"str"}`, "0", strings.Replace(frozen, "a:s\t-", "a:s\toptions", 1), ""},
		{"gone", `{"name":"b","type":"str"}`, "0", "", "x.json: cmd: argument a is gone"},
		{"optional", `{"name":"a","type":"str","default":null}`, "0", "", "x.json: cmd: argument a is optional"},
		{"another type", `{"name":"a","type":"[int]"}`, "0", "", "x.json: cmd: argument a is of type ax, not s"},
		{"a result", `{"name":"a","type":"str"}`, "[int]", "", "x.json: cmd: the result is of type 'ax', not ''"},
	} {
		schema := write(t, "x.json", capturing(test.members, test.result))
		path := write(t, "frozen.tsv", frozen)
		status, text := runFreeze(path, filepath.Dir(schema))
		if test.failure != "" {
			test.want = frozen
		}
		if (status != 0) != (test.failure != "") || !strings.Contains(text, test.failure) {
			t.Errorf("%s: status %d, %s, want %q", test.name, status, text, test.failure)
		}
		if got := read(t, path); got != test.want {
			t.Errorf("%s: table %q, want %q", test.name, got, test.want)
		}
	}
}

// A new command gets what is mandatory in all schemas.
func TestFreezeNew(t *testing.T) {
	directory := filepath.Dir(write(t, "1.json", capturing(`{"name":"a","type":"str"},{"name":"b","type":"int"}`, "[int]")))
	second := capturing(`{"name":"a","type":"str","default":null},{"name":"b","type":"int"}`, "[int]")
	if err := os.WriteFile(filepath.Join(directory, "2.json"), []byte(second), 0o644); err != nil {
		t.Fatal(err)
	}
	path := write(t, "frozen.tsv", "")
	if status, text := runFreeze("-anew", path, directory); status != 0 {
		t.Fatal(text)
	}
	if got, want := read(t, path), header+"cmd\tb:x\toptions\tax\n"; got != want {
		t.Errorf("table %q, want %q", got, want)
	}
}

func TestFreezeErrors(t *testing.T) {
	path := write(t, "frozen.tsv", header)
	broken := write(t, "x.json", "{")
	for want, args := range map[string][]string{
		"usage":           {path},
		"no schemas":      {path, t.TempDir()},
		"no such file":    {filepath.Join(t.TempDir(), "none"), "."},
		"not four fields": {write(t, "bad.tsv", "cmd\n"), "."},
		"x.json":          {path, filepath.Dir(broken)},
	} {
		if status, text := runFreeze(args...); status == 0 || !strings.Contains(text, want) {
			t.Errorf("freeze %s: status %d, %s, want %s", args, status, text, want)
		}
	}
}

// runFreeze runs the program with a table as the first argument, or after -anew.
func runFreeze(args ...string) (status int, text string) {
	var b strings.Builder
	if args[0] == "-anew" {
		args = append([]string{"-anew", "-table"}, args[1:]...)
	} else {
		args = append([]string{"-table"}, args...)
	}
	status = run(args, &b)
	return status, b.String()
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// write writes a file in a directory of its own.
func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}
