package qmpserver

import (
	"fmt"
	"strings"
)

// maxNesting is how many objects and arrays a request has inside each other (MAX_NESTING in QEMU's
// qobject/json-streamer.c).
const maxNesting = 1024

// What QEMU says of requests that are none.
const (
	faultNotObject = "QMP input must be a JSON object"
	faultNesting   = "JSON nesting depth limit exceeded"
	faultSize      = "JSON token size limit exceeded"
)

// scanner finds the values in a stream, each as soon as its last bracket has come.
type scanner struct {
	most  int // bytes of a value
	state scanState
	depth int    // of brackets that are open
	value []byte // so far
	over  bool   // the value is past a limit, and that was told
}

type scanState int

const (
	between  scanState = iota // white space
	inValue                   // in brackets
	inString                  // in a string in these
	escaped                   // behind a \ in that
	lost                      // on the way to the end of the line
)

// scan reads up to the end of a value, or to where it is known to be none: then there is a fault. It returns how many
// bytes it has read; ok is false if it needs more. The value is valid until the next call.
func (s *scanner) scan(text []byte) (n int, value []byte, fault string, ok bool) {
	for i, c := range text {
		if s.state == between {
			s.value = s.value[:0] // the one before was taken
		}
		switch complete, fault := s.step(c); {
		case fault != "":
			return i + 1, nil, fault, true
		case complete:
			return i + 1, s.value, "", true
		}
	}
	return len(text), nil, "", false
}

// step takes one byte.
func (s *scanner) step(c byte) (complete bool, fault string) {
	switch s.state {
	case lost:
		if c == '\n' {
			s.state = between
		}
		return false, ""
	case between:
		if isSpace(c) {
			return false, ""
		}
		if c != '{' && c != '[' {
			return false, s.lose(c, faultNotObject)
		}
		s.state, s.depth, s.over = inValue, 0, false
	case inString, escaped:
		if c < ' ' {
			return false, s.lose(c, stray(c))
		}
	case inValue:
		if !isJSON(c) {
			return false, s.lose(c, stray(c))
		}
	}
	s.advance(c)
	fault = s.keep(c)
	if s.depth > 0 {
		return false, fault
	}
	complete = !s.over
	s.over = false
	return complete, fault
}

// advance follows strings and brackets.
func (s *scanner) advance(c byte) {
	switch {
	case s.state == escaped:
		s.state = inString
	case s.state == inString && c == '\\':
		s.state = escaped
	case s.state == inString && c == '"':
		s.state = inValue
	case s.state == inString:
	case c == '"':
		s.state = inString
	case c == '{', c == '[':
		s.depth++
	case c == '}', c == ']':
		s.depth--
	}
	if s.depth == 0 {
		s.state = between
	}
}

// keep adds a byte to the value. One past a limit is told of at once, and what follows up to the value's end is passed
// over.
func (s *scanner) keep(c byte) (fault string) {
	switch {
	case s.over:
	case s.depth > maxNesting:
		fault = faultNesting
	case len(s.value) >= s.most:
		fault = faultSize
	default:
		s.value = append(s.value, c)
	}
	if fault != "" {
		s.over, s.value = true, nil
	}
	return fault
}

// lose gives the rest of the line up.
func (s *scanner) lose(c byte, fault string) string {
	if s.over { // told already
		fault = ""
	}
	s.state, s.over, s.value = lost, false, nil
	if c == '\n' {
		s.state = between
	}
	return fault
}

func stray(c byte) string {
	if c >= 0x80 {
		return `JSON parse error, stray '\uFFFD'`
	}
	return fmt.Sprintf("JSON parse error, stray %q", c)
}

const spaces = " \t\r\n"

func isSpace(c byte) bool { return strings.IndexByte(spaces, c) >= 0 }

// isJSON tells whether a character can be outside of strings.
func isJSON(c byte) bool {
	return isSpace(c) || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte(`{}[]:,"+-.`, c) >= 0
}
