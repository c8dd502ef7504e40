package qmp

import (
	"bytes"
	"errors"
	"io"

	"github.com/go-json-experiment/json/jsontext"
)

// message is a line from QEMU. What is raw JSON aliases the line; nil is absent.
type message struct {
	id       jsontext.Value // of a reply
	returned jsontext.Value
	err      *Error
	event    jsontext.Value // a JSON string
	data     jsontext.Value
	time     int64
	greeting *greeting
}

// parser parses lines, each once. Its memory is reused, and given back after a large line.
type parser struct {
	decoder *jsontext.Decoder
	reader  bytes.Buffer // from which the decoder parses without copying
	line    []byte
}

// lenient lets strings with invalid UTF-8 and lone surrogates pass: one bad file name
// must not cost the connection. Duplicate names are rejected.
var lenient = []jsontext.Options{jsontext.AllowInvalidUTF8(true)}

// parse parses a line. The error says what makes it impossible as QMP; members that
// are unknown are skipped.
func (p *parser) parse(line []byte) (m message, err error) {
	if p.decoder == nil || len(p.line) > keepBuffer {
		p.decoder = new(jsontext.Decoder)
	}
	if len(line) == 0 {
		return m, errors.New("empty line")
	}
	p.line = line
	p.reader = *bytes.NewBuffer(line)
	p.decoder.Reset(&p.reader, lenient...)
	m.time = -1
	if err := p.object(func(name string) error { return p.member(&m, name) }); err != nil {
		return m, err
	}
	if _, err := p.decoder.ReadToken(); err != io.EOF {
		return m, errors.New("more than one JSON object in a line")
	}
	if m.err != nil && m.returned != nil {
		return m, errors.New("both return and error in a reply")
	}
	return m, nil
}

// member reads the value of a line's member.
func (p *parser) member(m *message, name string) (err error) {
	switch name {
	case "return":
		m.returned, err = p.value()
	case "id":
		m.id, err = p.value()
	case "error":
		m.err, err = p.refusal()
	case "event":
		m.event, err = p.valueOf(name, '"')
	case "data":
		m.data, err = p.valueOf(name, '{')
	case "timestamp":
		m.time, err = p.timestamp()
	case "QMP":
		m.greeting, err = p.greeting()
	default:
		err = p.decoder.SkipValue()
	}
	return err
}

func (p *parser) refusal() (*Error, error) {
	e := new(Error)
	return e, p.object(func(name string) (err error) {
		switch name {
		case "class":
			e.Class, err = p.text(name)
		case "desc":
			e.Desc, err = p.text(name)
		default:
			err = p.decoder.SkipValue()
		}
		return err
	})
}

// timestamp gives microseconds, -1 if QEMU has none (it then sends -1) or it makes
// no sense.
func (p *parser) timestamp() (int64, error) {
	var seconds, micros int64 = -1, -1
	err := p.object(func(name string) (err error) {
		switch name {
		case "seconds":
			seconds, err = p.integer(name)
		case "microseconds":
			micros, err = p.integer(name)
		default:
			err = p.decoder.SkipValue()
		}
		return err
	})
	const maxSeconds = 1<<63/1_000_000 - 1
	if seconds < 0 || seconds > maxSeconds || micros < 0 || micros >= 1_000_000 {
		return -1, err
	}
	return seconds*1_000_000 + micros, err
}
