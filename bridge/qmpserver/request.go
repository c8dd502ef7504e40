package qmpserver

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/go-json-experiment/json/jsontext"

	"qmp-dbus-bridge/qmp"
)

// Request is a command that a client asks for. Its parts are the caller's own.
type Request struct {
	Name      string         // as it came: any text
	Arguments jsontext.Value // an object; nil where there are none
	ID        jsontext.Value // any value; nil where there is none
	FDs       []int          // that came with it, at most MaxFDs
}

// The classes of errors that are answered here (QapiErrorClass).
const (
	classGeneric  = "GenericError"
	classNotFound = "CommandNotFound"
)

func generic(format string, args ...any) *qmp.Error {
	return &qmp.Error{Class: classGeneric, Desc: fmt.Sprintf(format, args...)}
}

// parseRequest reads one JSON value. Where it is no request, the ID is that of the answer nevertheless, if it has one. The
// words are those of qmp_dispatch_check_obj in QEMU's qapi/qmp-dispatch.c.
func parseRequest(text []byte) (Request, *qmp.Error) {
	p := requestParser{decoder: jsontext.NewDecoder(bytes.NewReader(text))}
	if p.decoder.PeekKind() != jsontext.KindBeginObject {
		return Request{}, generic(faultNotObject)
	}
	if err := p.members(); err != nil {
		return Request{}, generic("JSON parse error, %s", parseFault(err))
	}
	if p.fault == nil && !p.named {
		p.fault = generic("QMP input lacks member 'execute'")
	}
	return p.request, p.fault
}

type requestParser struct {
	decoder *jsontext.Decoder
	request Request
	named   bool
	fault   *qmp.Error // the first that was found
}

func (p *requestParser) members() error {
	if _, err := p.decoder.ReadToken(); err != nil {
		return err
	}
	for p.decoder.PeekKind() == jsontext.KindString {
		name, err := p.decoder.ReadToken()
		if err != nil {
			return err
		}
		member := name.String()
		value, err := p.decoder.ReadValue()
		if err != nil {
			return err
		}
		if fault := p.member(member, value); p.fault == nil {
			p.fault = fault
		}
	}
	if _, err := p.decoder.ReadToken(); err != nil {
		return err
	}
	if _, err := p.decoder.ReadToken(); err != io.EOF {
		return errors.New("more than one value")
	}
	return nil
}

// member takes one of the request's.
func (p *requestParser) member(name string, value jsontext.Value) *qmp.Error {
	value = value.Clone()
	switch name {
	case "execute":
		p.named = true
		if value.Kind() != jsontext.KindString {
			return generic("QMP input member 'execute' must be a string")
		}
		text, _ := jsontext.AppendUnquote(nil, value) // the decoder has read it
		p.request.Name = string(text)
	case "arguments":
		if value.Kind() != jsontext.KindBeginObject {
			return generic("QMP input member 'arguments' must be an object")
		}
		p.request.Arguments = value
	case "id":
		if err := value.Compact(); err != nil {
			return generic("JSON parse error, %s", parseFault(err))
		}
		p.request.ID = value
	default: // so does exec-oob, since it is not offered
		return generic("QMP input member '%.100s' is unexpected", name)
	}
	return nil
}

// parseFault is what is wrong with a JSON text, without the text.
func parseFault(err error) string {
	if syntax, ok := errors.AsType[*jsontext.SyntacticError](err); ok {
		return fmt.Sprintf("%v at byte %d", syntax.Err, syntax.ByteOffset)
	}
	return err.Error()
}
