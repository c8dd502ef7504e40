package access

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"

	"github.com/cedar-policy/cedar-go"
	"github.com/go-json-experiment/json/jsontext"
)

// How much a policy is given of a command's arguments. blockdev-add for a chain of 5 images has some 50 values, 7
// levels and 1 kB of names.
const (
	maxArgumentDepth  = 32       // objects and lists inside each other
	maxArgumentValues = 1024     // with objects and lists; a set of them can cost Cedar quadratic time
	maxArgumentNames  = 64 << 10 // bytes of argumentNames: each name has those above it in it
)

// arguments are those of one command, as policies see them.
type arguments struct {
	record cedar.Record   // context.arguments, without what Cedar can't hold
	names  []cedar.Value  // what is in context.argumentNames
	lost   []argumentPath // where something is missing in record
}

// argumentPath is the way to an argument through the objects above it. A list with all that is in it is one place,
// since policies can't look at it but as a whole.
type argumentPath []string

// readArguments reads one JSON object; no text is an empty one. It refuses what is past the limits above, and what
// somebody else could read as something else: repeated names and all that is not valid JSON.
func readArguments(text []byte) (*arguments, error) {
	if len(text) == 0 {
		return new(arguments), nil
	}
	r, _ := argumentReaders.Get().(*argumentReader)
	defer r.release()
	r.buffer = *bytes.NewBuffer(text)
	r.decoder.Reset(&r.buffer)
	if r.decoder.PeekKind() != jsontext.KindBeginObject {
		return nil, errors.New("not a JSON object")
	}
	value, err := r.value(argumentPlace{})
	if err != nil {
		return nil, err
	}
	if _, err := r.decoder.ReadToken(); err != io.EOF {
		return nil, errors.New("more text after the JSON object")
	}
	r.read.record, _ = value.(cedar.Record)
	read := r.read
	return &read, nil
}

// argumentReader turns JSON into Cedar's values.
type argumentReader struct {
	decoder *jsontext.Decoder
	buffer  bytes.Buffer
	read    arguments
	values  int
	named   int // bytes of names
}

var argumentReaders = sync.Pool{New: func() any {
	return &argumentReader{decoder: new(jsontext.Decoder)}
}}

func (r *argumentReader) release() {
	*r = argumentReader{decoder: r.decoder}
	r.decoder.Reset(&r.buffer)
	argumentReaders.Put(r)
}

// argumentPlace is where a value is.
type argumentPlace struct {
	path   argumentPath
	inList bool   // path ends at a list above
	name   string // as argumentNames has it
	depth  int    // objects and lists around
}

// value reads one value. It is nil if Cedar can't hold it.
func (r *argumentReader) value(at argumentPlace) (cedar.Value, error) {
	if r.values++; r.values > maxArgumentValues {
		return nil, fmt.Errorf("more than %d values", maxArgumentValues)
	}
	token, err := r.decoder.ReadToken()
	if err != nil {
		return nil, err
	}
	kind := token.Kind()
	if (kind == jsontext.KindBeginObject || kind == jsontext.KindBeginArray) && at.depth == maxArgumentDepth {
		return nil, fmt.Errorf("more than %d levels of objects and lists", maxArgumentDepth)
	}
	switch kind {
	case jsontext.KindBeginObject:
		return r.object(at)
	case jsontext.KindBeginArray:
		return r.list(at)
	case jsontext.KindString:
		return cedar.String(token.String()), nil
	case jsontext.KindTrue, jsontext.KindFalse:
		return cedar.Boolean(token.Bool()), nil
	case jsontext.KindNumber:
		if n, err := strconv.ParseInt(token.String(), 10, 64); err == nil {
			return cedar.Long(n), nil
		}
	}
	r.read.lost = append(r.read.lost, at.path) // null, a fraction, an integer past 63 bits
	return nil, nil
}

func (r *argumentReader) object(at argumentPlace) (cedar.Value, error) {
	members := make(cedar.RecordMap)
	for r.decoder.PeekKind() != jsontext.KindEndObject {
		token, err := r.decoder.ReadToken()
		if err != nil {
			return nil, err
		}
		key := token.String()
		member, err := r.member(at, key)
		if err != nil {
			return nil, err
		}
		value, err := r.value(member)
		if err != nil {
			return nil, err
		}
		if value != nil {
			members[cedar.String(key)] = value
		}
	}
	if _, err := r.decoder.ReadToken(); err != nil {
		return nil, err
	}
	return cedar.NewRecord(members), nil
}

// escapeName keeps a member with a dot in its name apart from a member of a member.
var escapeName = strings.NewReplacer(`\`, `\\`, `.`, `\.`, `[`, `\[`)

// member is the place of a member of the object at a place.
func (r *argumentReader) member(object argumentPlace, key string) (argumentPlace, error) {
	at := argumentPlace{path: object.path, inList: object.inList, name: escapeName.Replace(key), depth: object.depth + 1}
	if object.depth > 0 {
		at.name = object.name + "." + at.name
	}
	if r.named += len(at.name); r.named > maxArgumentNames {
		return at, fmt.Errorf("more than %d bytes of names", maxArgumentNames)
	}
	r.read.names = append(r.read.names, cedar.String(at.name))
	if !at.inList {
		at.path = append(object.path[:len(object.path):len(object.path)], key)
	}
	return at, nil
}

func (r *argumentReader) list(at argumentPlace) (cedar.Value, error) {
	at.inList = true
	at.name += "[]"
	at.depth++
	var elements []cedar.Value
	for r.decoder.PeekKind() != jsontext.KindEndArray {
		value, err := r.value(at)
		if err != nil {
			return nil, err
		}
		if value != nil {
			elements = append(elements, value)
		}
	}
	if _, err := r.decoder.ReadToken(); err != nil {
		return nil, err
	}
	return cedar.NewSet(elements...), nil
}
