package access

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
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
	record cedar.Record   // context.arguments, as far as it is wanted, without what Cedar can't hold
	names  []cedar.Value  // what is in context.argumentNames; nil if they are not wanted
	lost   []argumentPath // where something is missing in record that is wanted
}

// argumentPath is the way to an argument through the objects above it. A list with all that is in it is one place,
// since policies can't look at it but as a whole.
type argumentPath []string

// readArguments reads what is wanted of one JSON object; no text is an empty one. It refuses what is past the limits
// above, and what somebody else could read as something else: repeated names and all that is not valid JSON.
func readArguments(text []byte, wanted *wanted) (*arguments, error) {
	if len(text) == 0 {
		text = []byte("{}")
	}
	r, _ := argumentReaders.Get().(*argumentReader)
	defer r.release()
	r.wanted = wanted
	if wanted.names {
		r.read.names = make([]cedar.Value, 0, 16)
	}
	r.buffer = *bytes.NewBuffer(text)
	r.decoder.Reset(&r.buffer)
	if r.decoder.PeekKind() != jsontext.KindBeginObject {
		return nil, errors.New("not a JSON object")
	}
	value, err := r.value(argumentPlace{wanted: true})
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
	wanted  *wanted
	read    arguments
	path    []string // to the value that is read, up to the outermost list
	values  int
	named   int // bytes of names
}

// argumentReaders saves making a decoder with its buffers for each call. It is of the package, since readers are
// the same for every Authorizer, each begins anew, and the collector takes those that nobody uses.
var argumentReaders = sync.Pool{New: func() any {
	return &argumentReader{decoder: new(jsontext.Decoder)}
}}

func (r *argumentReader) release() {
	clear(r.path)
	*r = argumentReader{decoder: r.decoder, path: r.path[:0]}
	r.decoder.Reset(&r.buffer)
	argumentReaders.Put(r)
}

// argumentPlace is where a value is.
type argumentPlace struct {
	name   string // as argumentNames has it, if that is wanted
	depth  int    // objects and lists around
	inList bool   // a list is among them
	wanted bool   // the value itself
}

// value reads one value. It is nil if it isn't wanted or Cedar can't hold it.
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
	switch {
	case kind == jsontext.KindBeginObject:
		return r.object(at)
	case kind == jsontext.KindBeginArray:
		return r.list(at)
	case !at.wanted:
		return nil, nil
	case kind == jsontext.KindString:
		return cedar.String(token.String()), nil
	case kind == jsontext.KindTrue, kind == jsontext.KindFalse:
		return cedar.Boolean(token.Bool()), nil
	case kind == jsontext.KindNumber:
		if n, err := strconv.ParseInt(token.String(), 10, 64); err == nil {
			return cedar.Long(n), nil
		}
	}
	r.read.lost = append(r.read.lost, slices.Clone(r.path)) // null, a fraction, an integer past 63 bits
	return nil, nil
}

func (r *argumentReader) object(at argumentPlace) (cedar.Value, error) {
	members := spareMaps.get()
	defer spareMaps.put(members)
	for r.decoder.PeekKind() != jsontext.KindEndObject {
		token, err := r.decoder.ReadToken()
		if err != nil {
			return nil, err
		}
		key := token.String()
		value, err := r.member(at, key)
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
	if !at.wanted {
		return nil, nil
	}
	return cedar.NewRecord(members), nil
}

// member reads the value of a member of the object at a place.
func (r *argumentReader) member(object argumentPlace, key string) (cedar.Value, error) {
	at := argumentPlace{depth: object.depth + 1, inList: object.inList, wanted: object.wanted}
	if object.depth == 0 {
		at.wanted = r.wanted.member(key)
	}
	switch {
	case r.wanted.names:
		if err := r.addName(&at, object, key); err != nil {
			return nil, err
		}
	case !at.wanted:
		return nil, r.decoder.SkipValue()
	}
	if !at.inList {
		r.path = append(r.path, key)
		defer func() { r.path = r.path[:len(r.path)-1] }()
	}
	return r.value(at)
}

// escapeName keeps a member with a dot in its name apart from a member of a member.
var escapeName = strings.NewReplacer(`\`, `\\`, `.`, `\.`, `[`, `\[`)

func (r *argumentReader) addName(at *argumentPlace, object argumentPlace, key string) error {
	at.name = escapeName.Replace(key)
	if object.depth > 0 {
		at.name = object.name + "." + at.name
	}
	if r.named += len(at.name); r.named > maxArgumentNames {
		return fmt.Errorf("more than %d bytes of names", maxArgumentNames)
	}
	r.read.names = append(r.read.names, cedar.String(at.name))
	return nil
}

func (r *argumentReader) list(at argumentPlace) (cedar.Value, error) {
	inside := argumentPlace{name: at.name + "[]", depth: at.depth + 1, inList: true, wanted: at.wanted}
	var elements []cedar.Value
	for r.decoder.PeekKind() != jsontext.KindEndArray {
		value, err := r.value(inside)
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
	if !at.wanted {
		return nil, nil
	}
	return cedar.NewSet(elements...), nil
}
