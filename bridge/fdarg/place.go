package fdarg

import (
	"bytes"
	"encoding/json"
	"path"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// spot is where a string is in the arguments of a command.
type spot struct {
	path       []string // members, and indexes of arrays, from the arguments down
	start, end int      // in the JSON, with its quotes
}

// each calls f for each string that is a value in arguments, which are valid JSON, until f says false.
func each(arguments []byte, f func(spot) bool) {
	d := jsontext.NewDecoder(bytes.NewReader(arguments), jsontext.AllowDuplicateNames(true))
	for {
		if d.PeekKind() != '"' {
			if _, err := d.ReadToken(); err != nil {
				return
			}
			continue
		}
		text, err := d.ReadValue()
		if err != nil {
			return
		}
		kind, length := d.StackIndex(d.StackDepth())
		if isName := kind == '{' && length%2 == 1; isName {
			continue
		}
		end := int(d.InputOffset())
		if !f(spot{slices.Collect(d.StackPointer().Tokens()), end - len(text), end}) {
			return
		}
	}
}

// tree is the arguments of a command, decoded.
type tree map[string]any

func treeOf(arguments []byte) tree {
	t := tree{}
	_ = json.Unmarshal(arguments, &t) // they have been written by package schema
	return t
}

// at finds what is at a path; nil if nothing is.
func (t tree) at(path []string) any {
	var here any = map[string]any(t)
	for _, part := range path {
		switch in := here.(type) {
		case map[string]any:
			here = in[part]
		case []any:
			here = element(in, part)
		default:
			return nil
		}
	}
	return here
}

func element(list []any, index string) any {
	var i int
	if json.Unmarshal([]byte(index), &i) != nil || i < 0 || i >= len(list) {
		return nil
	}
	return list[i]
}

// memberAt finds the member of a command's that a place is, nil if it is none.
func memberAt(command string, t tree, place []string) *member {
	for _, of := range [][]*member{of[command], of[""]} {
		for _, m := range of {
			if matches(strings.Split(m.path, "/"), place) && t.tagged(m.tag, place) {
				return m
			}
		}
	}
	return nil
}

// matches tells whether a place is one that a pattern stands for.
func matches(pattern, place []string) bool {
	if len(pattern) == 0 {
		return len(place) == 0
	}
	if pattern[0] == "**" {
		for skip := range len(place) + 1 {
			if matches(pattern[1:], place[skip:]) {
				return true
			}
		}
		return false
	}
	return len(place) > 0 && (pattern[0] == "*" || pattern[0] == place[0]) && matches(pattern[1:], place[1:])
}

// tagged tells whether the tag of a member's is there, for what is at a place.
func (t tree) tagged(tag string, place []string) bool {
	if tag == "" {
		return true
	}
	name, value, _ := strings.Cut(tag, "=")
	up := strings.Count(name, "../") + 1
	if up > len(place) {
		return false
	}
	return t.at(append(slices.Clone(place[:len(place)-up]), path.Base(name))) == any(value)
}
