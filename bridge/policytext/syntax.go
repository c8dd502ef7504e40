package policytext

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"text/scanner"

	"github.com/cedar-policy/cedar-go"
)

// maxTokens bounds one policy. Cedar's parser and evaluator descend with it, and Go ends a program whose stack
// exceeds 1 GB: a policy of 524288 brackets does that. One that lists every command has 1200.
const maxTokens = 8192

// Parse reads the policies of a file, each by itself, so that all that are wrong can be told. Where there are problems,
// the statements are the others. A policy has 8192 words at most.
func Parse(file, text string) (statements []Statement, problems Problems) {
	if at, bad := badCharacter(text); bad {
		return nil, Problems{at.problem(file, "not plain UTF-8: a NUL, a byte order mark, or bytes that are no character")}
	}
	all := tokenize(text, place{1, 1}, func(at place, what string) {
		problems = append(problems, at.problem(file, "%s", what))
	})
	if len(problems) > 0 {
		return nil, problems[:1] // behind it, nothing is what it seems
	}
	for len(all) > 1 { // EOF is the last
		one := all.first()
		all = all[len(one):]
		end := one[len(one)-1].end()
		s := Statement{File: file, place: one[0].place, text: text[one[0].offset:end]}
		if len(one) > maxTokens {
			problems = append(problems, one[maxTokens].problem(file, "a policy of more than %d words: split it", maxTokens))
			continue
		}
		rules, err := cedar.NewPolicyListFromBytes(file, []byte(s.text))
		if err != nil {
			problems = append(problems, s.syntaxProblem(err))
			continue
		}
		s.Rule = rules[0] // one has one semicolon
		statements = append(statements, s)
	}
	return statements, problems
}

// first are the tokens up to the first semicolon, or else all but EOF.
func (t tokens) first() tokens {
	for i, one := range t {
		if one.text == ";" {
			return t[:i+1]
		}
	}
	return t[:len(t)-1]
}

// cedarError takes apart what Cedar's parser says: <input>:LINE:COLUMN "TOKEN": what.
var cedarError = regexp.MustCompile(`<input>:(\d+):(\d+)(?: "(?:[^"\\]|\\.)*")?: (.*)`)

// unwanted takes apart those errors that Cedar places one token too late.
var unwanted = regexp.MustCompile(`^(?:exact got (.*) want (.*)|unexpected effect: (.*))$`)

// syntaxProblem gives an error of Cedar's parser its place.
func (s Statement) syntaxProblem(err error) Problem {
	parts := cedarError.FindStringSubmatch(err.Error())
	if parts == nil {
		return s.literalProblem(err)
	}
	line, _ := strconv.Atoi(parts[1]) // they are digits
	column, _ := strconv.Atoi(parts[2])
	at, what := s.plus(line, column), parts[3]
	if want, ok := wants[what]; ok {
		return s.unexpected(at, want)
	}
	if say := unwanted.FindStringSubmatch(what); say != nil {
		got, want := say[1]+say[3], say[2]
		if want == "" {
			want = "permit or forbid"
		}
		what = fmt.Sprintf("got %s, want %s", got, want)
		if got == "" {
			what = fmt.Sprintf("the file ends, want %s", want)
		}
		at = s.tokens().before(at, got)
	}
	return at.problem(s.File, "syntax: %s", what)
}

// wants are errors of Cedar's parser that name neither what it got, which is the token in front, nor what would do.
var wants = map[string]string{
	"expected ident":   `an entity like Action::"stop" or User::"997"`,
	"unexpected token": `an id in double quotes, like User::"997"`,
	"expected string":  "a text in double quotes",
	"invalid primary":  "a value",
}

// unexpected says what stands in front of a place, and what was wanted there.
func (s Statement) unexpected(at place, want string) Problem {
	t := s.tokens()
	i := len(t) - 1
	for i > 0 && !t[i-1].before(at) {
		i--
	}
	if t.at(i).kind == scanner.EOF && slices.Contains(openings, t.at(i-1).text) {
		return at.problem(s.File, "syntax: the file ends, want %s", want)
	}
	i = max(i-1, 0)
	if i > 0 && t.is(i-1, "is") {
		want = "the name of a type, without quotes"
	}
	if t.is(i, "?") {
		want += "; there are no templates here"
	}
	return t[i].problem(s.File, "syntax: got %s, want %s", t[i].text, want)
}

// openings are words behind which something has to follow.
var openings = []string{"in", "==", "is", ":", "[", "(", ",", "@"}

// before is the place of the token in front of the one at a place, if that has this text.
func (t tokens) before(at place, text string) place {
	for i := 1; i < len(t); i++ {
		if t[i].place == at && t[i].text != text && t[i-1].text == text {
			return t[i-1].place
		}
	}
	return at
}

// literalProblem finds the number or string that Cedar can't read; it tells no place for those.
func (s Statement) literalProblem(err error) Problem {
	t := s.tokens()
	_, what, _ := strings.Cut(err.Error(), "parser error: ")
	for i, one := range t {
		expression := one.text
		switch {
		case one.kind == scanner.String && i > 0 && t.is(i-1, "like"):
			expression = `"" like ` + one.text
		case one.kind == scanner.Int && i > 0 && t.is(i-1, "-"):
			expression = "-" + one.text
		case one.kind != scanner.String && one.kind != scanner.Int:
			continue
		}
		var rule cedar.Policy
		if rule.UnmarshalCedar([]byte("permit (principal, action, resource) when { "+expression+" };")) != nil {
			return one.problem(s.File, "syntax: %s: %s", one.text, what)
		}
	}
	return s.Problem("syntax: %s", what)
}
