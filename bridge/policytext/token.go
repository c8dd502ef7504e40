package policytext

import (
	"strings"
	"text/scanner"
	"unicode/utf8"

	"github.com/cedar-policy/cedar-go"
)

// place is a line and a column of a file, from 1, the column in characters: as Cedar counts.
type place struct{ line, column int }

// token is one word of a policy's text. Cedar's syntax tree keeps no places, so they are looked for among the tokens.
type token struct {
	kind rune // scanner.Ident, String, Int, EOF, or the character itself
	text string
	place
	offset int // in bytes, from the beginning of the text
}

// end is the offset of what is behind the token.
func (t token) end() int { return t.offset + len(t.text) }

// tokens are those of a text; the last one is EOF.
type tokens []token

// unfinished are the errors of text/scanner that are Cedar's too. It does not know all of Cedar's escapes.
var unfinished = map[string]bool{"literal not terminated": true, "comment not terminated": true}

// tokenize splits a text that begins at from. Words and comments are as in Go, and strings but for their escapes. What
// can't be in any policy is told to wrong.
func tokenize(text string, from place, wrong func(place, string)) tokens {
	var s scanner.Scanner
	s.Init(strings.NewReader(text))
	s.Mode = scanner.ScanIdents | scanner.ScanInts | scanner.ScanStrings | scanner.ScanComments | scanner.SkipComments
	s.IsIdentRune = func(r rune, i int) bool {
		return r == '_' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' && i > 0
	}
	s.Error = func(s *scanner.Scanner, text string) {
		if unfinished[text] {
			wrong(from.plus(s.Line, s.Column), text)
		}
	}
	var all tokens
	for {
		kind := s.Scan()
		all = append(all, token{kind, s.TokenText(), from.plus(s.Line, s.Column), s.Offset})
		if kind == scanner.EOF {
			return all
		}
	}
}

// before tells whether p is in front of other.
func (p place) before(other place) bool {
	return p.line < other.line || p.line == other.line && p.column < other.column
}

// plus is the place of what is at a line and column of a text that begins at p.
func (p place) plus(line, column int) place {
	if line > 1 {
		return place{p.line + line - 1, column}
	}
	return place{p.line, p.column + column - 1}
}

// byteOrderMark may begin a file for text/scanner, but not for Cedar.
const byteOrderMark = 0xFEFF

// badCharacter finds what no policy may hold, even in a comment.
func badCharacter(text string) (place, bool) {
	at := place{1, 1}
	for i, r := range text {
		switch _, size := utf8.DecodeRuneInString(text[i:]); {
		case r == 0, r == utf8.RuneError && size == 1, r == byteOrderMark && i == 0:
			return at, true
		case r == '\n':
			at = place{at.line + 1, 1}
		default:
			at.column++
		}
	}
	return at, false
}

// value is the string that a string token stands for. Only Cedar knows its escapes.
func (t token) value() string {
	if !strings.Contains(t.text, `\`) {
		return strings.Trim(t.text, `"`)
	}
	var rule cedar.Policy
	if err := rule.UnmarshalCedar([]byte("@text(" + t.text + ") permit (principal, action, resource);")); err != nil {
		return t.text // a pattern, which is no string
	}
	return string(rule.Annotations()["text"])
}

// at is the token there, or the last one.
func (t tokens) at(i int) token { return t[min(i, len(t)-1)] }

// is tells whether these are the texts of the tokens from i on.
func (t tokens) is(i int, texts ...string) bool {
	for n, text := range texts {
		if t.at(i+n).text != text {
			return false
		}
	}
	return true
}

// pathAt reads an entity type, A::B, from i on, and returns what is behind it.
func (t tokens) pathAt(i int) (name string, next int) {
	name = t.at(i).text
	for i++; t.is(i, ":", ":") && t.at(i+2).kind == scanner.Ident; i += 3 {
		name += "::" + t.at(i+2).text
	}
	return name, i
}

// entityPlaces finds Type::"id".
func (t tokens) entityPlaces(uid cedar.EntityUID) []place {
	var places []place
	for i := 0; i < len(t); i++ {
		if t[i].kind != scanner.Ident {
			continue
		}
		name, next := t.pathAt(i)
		if t.is(next, ":", ":") && name == string(uid.Type) && t.at(next+2).value() == string(uid.ID) {
			places = append(places, t[i].place)
		}
		i = next - 1
	}
	return places
}

// typePlaces finds a type behind is.
func (t tokens) typePlaces(name string) []place {
	var places []place
	for i := range t {
		if found, _ := t.pathAt(i + 1); t.is(i, "is") && found == name {
			places = append(places, t.at(i+1).place)
		}
	}
	return places
}

// attributePlaces finds where the last attribute of variable.a.b stands, also as variable["a"].b, or has "b". The
// last resort is any attribute of that name.
func (t tokens) attributePlaces(variable string, names []string) []place {
	var places, similar []place
	for i := range t {
		if at, ok := t.chainAt(i, variable, names); ok {
			places = append(places, at)
		}
		if _, next, ok := t.attributeAt(i, names[len(names)-1]); ok {
			similar = append(similar, t.at(next-1).place)
		}
	}
	if len(places) > 0 {
		return places
	}
	return similar
}

// chainAt tells whether variable.a.b stands at i, and where its last name is.
func (t tokens) chainAt(i int, variable string, names []string) (at place, ok bool) {
	if t.at(i).text != variable || i > 0 && t.is(i-1, ".") {
		return place{}, false
	}
	i++
	for _, name := range names {
		if at, i, ok = t.attributeAt(i, name); !ok {
			return place{}, false
		}
	}
	return at, true
}

// attributeAt reads .name, has name or ["name"], and returns its place and what is behind it.
func (t tokens) attributeAt(i int, name string) (at place, next int, ok bool) {
	word := t.at(i + 1)
	switch {
	case t.is(i, ".") || t.is(i, "has"):
		ok = word.text == name || word.kind == scanner.String && word.value() == name
		return word.place, i + 2, ok
	case t.is(i, "["):
		return word.place, i + 3, word.kind == scanner.String && word.value() == name && t.is(i+2, "]")
	}
	return place{}, i, false
}
