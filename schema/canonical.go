package schema

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"

	"github.com/go-json-experiment/json/jsontext"

	"qmp-dbus-bridge/schema/wire"
)

// Canonical appends a caller's JSON text to dst, parsed and written anew: one
// object, without white space, strings in their shortest form, numbers as they
// were. No text at all is the empty object. root, the command's name, begins
// the path of errors.
//
// What QEMU's parser would refuse is an [*ArgumentError]: no object, more text
// after it, a repeated name, invalid UTF-8, a lone surrogate, a noncharacter; so
// is a number that no double can hold. An error that wraps wire.ErrLimit says
// that the text is too large or too deep. On an error dst comes back as it was.
func Canonical(dst, src []byte, root string) ([]byte, error) {
	if len(src) == 0 {
		return append(dst, "{}"...), nil
	}
	out, err := jsontext.AppendFormat(dst, src)
	if err != nil {
		return dst, syntaxFault(root, err)
	}
	c := canonicals.Get().(*canonical)
	defer c.release()
	if err := c.check(out[len(dst):], root); err != nil {
		return dst, err
	}
	return out, nil
}

// canonical reads valid JSON for what QEMU would still refuse.
type canonical struct {
	decoder *jsontext.Decoder
	reader  bytes.Buffer
	tokens  int
}

var canonicals = sync.Pool{New: func() any {
	return &canonical{decoder: new(jsontext.Decoder)}
}}

func (c *canonical) release() {
	*c = canonical{decoder: c.decoder}
	c.decoder.Reset(&c.reader)
	canonicals.Put(c)
}

func (c *canonical) check(json []byte, root string) error {
	c.reader = *bytes.NewBuffer(json)
	c.decoder.Reset(&c.reader, jsontext.AllowDuplicateNames(true)) // AppendFormat has looked for them
	if c.decoder.PeekKind() != jsontext.KindBeginObject {
		return &ArgumentError{Path: root, Text: "the arguments are not a JSON object"}
	}
	if len(json) > maxArguments {
		return fmt.Errorf("%s: more than %d bytes of JSON: %w", root, maxArguments, wire.ErrLimit)
	}
	for kind := c.decoder.PeekKind(); kind != jsontext.KindInvalid; kind = c.decoder.PeekKind() {
		if err := c.checkToken(kind, root); err != nil {
			return err
		}
	}
	return nil
}

// checkToken reads one token. The limits are those of arguments; a token and
// what separates it from the next count as two of QEMU's.
func (c *canonical) checkToken(kind jsontext.Kind, root string) error {
	fault, err := c.readToken(kind)
	c.tokens += 2
	switch {
	case err != nil:
		return syntaxFault(root, err)
	case fault != "":
		return &ArgumentError{Path: pointerPath(root, c.decoder.StackPointer()), Text: fault}
	case c.tokens > maxTokens:
		return fmt.Errorf("%s: more than %d JSON tokens: %w", root, maxTokens, wire.ErrLimit)
	case c.decoder.StackDepth() > maxNesting:
		return fmt.Errorf("%s: more than %d levels of JSON: %w", root, maxNesting, wire.ErrLimit)
	}
	return nil
}

func (c *canonical) readToken(kind jsontext.Kind) (fault string, err error) {
	if kind != jsontext.KindString && kind != jsontext.KindNumber {
		_, err = c.decoder.ReadToken()
		return "", err
	}
	value, err := c.decoder.ReadValue()
	if err != nil {
		return "", err
	}
	if kind == jsontext.KindNumber {
		return numberFault(value), nil
	}
	if r, found := noncharacter(value); found {
		return noncharacterFault(r), nil
	}
	return "", nil
}

// numberFault tells what QEMU would make another number of: it reads integers past 64 bits as
// doubles, and refuses doubles past their range without an id.
func numberFault(lexeme []byte) string {
	switch {
	case !isFinite(lexeme):
		return "the number is too large"
	case isInteger(lexeme) && !isWord(lexeme):
		return "the integer has more than 64 bits"
	default:
		return ""
	}
}

// syntaxFault makes jsontext's error one of ours.
func syntaxFault(root string, err error) error {
	syntax, ok := errors.AsType[*jsontext.SyntacticError](err)
	if !ok {
		return &ArgumentError{Path: root, Text: err.Error()}
	}
	return &ArgumentError{
		Path: pointerPath(root, syntax.JSONPointer),
		Text: fmt.Sprintf("%v at byte %d", syntax.Err, syntax.ByteOffset),
	}
}

// pointerPath writes a JSON pointer as the path of an [ArgumentError].
func pointerPath(root string, pointer jsontext.Pointer) string {
	var b strings.Builder
	b.WriteString(root)
	parts := 0
	for token := range pointer.Tokens() {
		if parts++; parts > maxPathParts {
			b.WriteString("...")
			break
		}
		if _, err := strconv.ParseUint(token, 10, 32); err == nil {
			b.WriteString("[" + token + "]")
		} else {
			b.WriteString("." + clip([]byte(token)))
		}
	}
	return b.String()
}
