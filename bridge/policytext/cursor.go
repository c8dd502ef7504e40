package policytext

import (
	"slices"
	"strings"
	"text/scanner"
)

// cursor goes through a policy's tokens, in step with who walks through its syntax tree.
type cursor struct {
	text tokens
	next int  // the token behind what was walked through
	lost bool // text and tree don't go together: no places are known
}

// skipScope goes behind the policy's scope. There are brackets in front of it only in annotations.
func (c *cursor) skipScope() {
	for c.next < len(c.text)-1 && !(c.text.is(c.next+1, "(") && (c.next == 0 || !c.text.is(c.next-1, "@"))) {
		c.next++
	}
	for c.next < len(c.text)-1 && !c.text.is(c.next, ")") {
		c.next++
	}
	c.next++
}

// peek is the next token that is no bracket or comma.
func (c *cursor) peek() token {
	for slices.Contains([]string{"(", ")", ","}, c.text.at(c.next).text) {
		c.next++
	}
	return c.text.at(c.next)
}

// expect goes behind a word or operator, which is a token for each of its characters.
func (c *cursor) expect(text string) place {
	first := c.peek()
	for rest := text; rest != ""; c.next++ {
		one := c.text.at(c.next)
		var found bool
		if rest, found = strings.CutPrefix(rest, one.text); !found || one.kind == scanner.EOF {
			c.lost = true
			break
		}
	}
	return first.place
}

// isAt tells whether the next token is this.
func (c *cursor) isAt(text string) bool { return c.text.is(c.next, text) }

// path goes behind a type's name with its namespaces.
func (c *cursor) path() { _, c.next = c.text.pathAt(c.next) }

// word goes behind one token, whatever it is: an attribute's name, a literal, a bracket.
func (c *cursor) word() place {
	at := c.text.at(c.next).place
	c.next++
	return at
}
