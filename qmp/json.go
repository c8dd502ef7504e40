package qmp

import (
	"fmt"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"
)

// object reads an object; member must read one value. A name that is not one of
// ours, or is spelt with escapes, is given as "".
func (p *parser) object(member func(name string) error) error {
	if kind := p.decoder.PeekKind(); kind != '{' {
		return p.unexpected("a JSON object", kind)
	}
	if _, err := p.decoder.ReadToken(); err != nil {
		return err
	}
	for p.decoder.PeekKind() == '"' {
		quoted, err := p.decoder.ReadValue()
		if err != nil {
			return err
		}
		if err := member(known(quoted)); err != nil {
			return err
		}
	}
	_, err := p.decoder.ReadToken()
	return err
}

func (p *parser) array(element func() error) error {
	if kind := p.decoder.PeekKind(); kind != '[' {
		return p.unexpected("a JSON array", kind)
	}
	if _, err := p.decoder.ReadToken(); err != nil {
		return err
	}
	for kind := p.decoder.PeekKind(); kind != ']' && kind != 0; kind = p.decoder.PeekKind() {
		if err := element(); err != nil {
			return err
		}
	}
	_, err := p.decoder.ReadToken()
	return err
}

// known gives the name without allocating.
func known(quoted []byte) string {
	for _, name := range names {
		if len(quoted) == len(name)+2 && string(quoted[1:len(quoted)-1]) == name {
			return name
		}
	}
	return ""
}

var names = [...]string{
	"return", "id", "event", "timestamp", "seconds", "microseconds", "data", "error", "class", "desc",
	"QMP", "version", "qemu", "major", "minor", "micro", "package", "capabilities",
}

// value reads any value, as a part of the line.
func (p *parser) value() (jsontext.Value, error) {
	v, err := p.decoder.ReadValue()
	if err != nil {
		return nil, err
	}
	end := int(p.decoder.InputOffset())
	return p.line[end-len(v) : end : end], nil
}

// valueOf reads a value of that kind.
func (p *parser) valueOf(name string, want jsontext.Kind) (jsontext.Value, error) {
	if kind := p.decoder.PeekKind(); kind != want {
		return nil, p.unexpected(fmt.Sprintf("%s of kind %v", name, want), kind)
	}
	return p.value()
}

func (p *parser) text(name string) (string, error) {
	v, err := p.valueOf(name, '"')
	if err != nil {
		return "", err
	}
	return unquote(v), nil
}

// integer reads a number; one that is no int64 counts as -1.
func (p *parser) integer(name string) (int64, error) {
	v, err := p.valueOf(name, '0')
	if err != nil {
		return -1, err
	}
	n, err := strconv.ParseInt(string(v), 10, 64)
	if err != nil {
		return -1, nil
	}
	return n, nil
}

// unexpected prefers the decoder's own error, if it has one.
func (p *parser) unexpected(want string, kind jsontext.Kind) error {
	if kind == 0 {
		if _, err := p.decoder.ReadToken(); err != nil {
			return err
		}
	}
	return fmt.Errorf("want %s, got %v", want, kind)
}

// unquote gives a JSON string's text, with U+FFFD for what is no Unicode.
func unquote(v jsontext.Value) string {
	text, _ := jsontext.AppendUnquote(nil, v) // its errors are about what became U+FFFD
	return string(text)
}
