package policytext

import (
	"embed"
	"fmt"
	"io/fs"
	"path"
	"strings"
)

// examples are policies to copy and to change; docs/policy.md explains them.
//
//go:embed examples/*.cedar
var examples embed.FS

// ExampleNames are those that Example knows, sorted.
func ExampleNames() []string {
	files, err := fs.Glob(examples, "examples/*.cedar")
	if err != nil {
		panic(err) // the pattern is wrong
	}
	for i, file := range files {
		files[i] = strings.TrimSuffix(path.Base(file), ".cedar")
	}
	return files
}

// Example is the text of an example.
func Example(name string) (string, error) {
	text, err := examples.ReadFile("examples/" + name + ".cedar")
	if err != nil {
		return "", fmt.Errorf("there is no example %q; there are %s", name, strings.Join(ExampleNames(), ", "))
	}
	return string(text), nil
}
