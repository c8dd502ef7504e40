package fdarg

import (
	"bytes"
	"encoding/json"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"qmp-dbus-bridge/schema"
)

// Names tells whether a caller may use what it has written, nil if so. Errors say what is wrong with it.
type Names struct {
	Name func(name string) error // of a descriptor
	Set  func(id int64) error
}

// Check tells whether names of descriptors that a caller has written among the arguments of a command are ones that it may use, and none
// stands for a descriptor. Those that package schema has written for one are passed over. Errors are *schema.ArgumentError.
func Check(command string, arguments []byte, given []schema.Descriptor, may Names) error {
	sets := mentionsSet(arguments)
	if !sets && !looksUp(command) && !bytes.Contains(arguments, []byte(`"fd"`)) && !bytes.Contains(arguments, []byte(jsonPrefix)) {
		return nil
	}
	var wrong error
	t := treeOf(arguments)
	each(arguments, func(s spot) bool {
		if len(given) > 0 && given[0].Start == s.start {
			for len(given) > 0 && given[0].Start == s.start {
				given = given[1:]
			}
			return true
		}
		var text string
		_ = json.Unmarshal(arguments[s.start:s.end], &text)
		fault := checkNested(text, may)
		if m := nameAt(command, t, s.path); fault == nil && m != nil {
			fault = m.checkNames(text, may)
		}
		if fault != nil {
			wrong = faultf(command, s.path, "%v", fault)
		}
		return wrong == nil
	})
	return wrong
}

// nameAt finds the member that names descriptors at a place, nil if none does.
func nameAt(command string, t tree, place []string) *member {
	if m := memberAt(command, t, place); m != nil {
		if m.use.IsSet() {
			return nil
		}
		return m
	}
	if open[command] && slices.ContainsFunc(place, func(part string) bool { return strings.HasSuffix(part, "fd") || strings.HasSuffix(part, "fds") }) {
		return &member{list: true}
	}
	return nil
}

// open are the commands whose members depend on what they make, of which members does not know all: there every text whose member's name
// ends as those do that name descriptors is taken for one. Checking too many does no harm.
var open = map[string]bool{"device_add": true, "netdev_add": true, "object-add": true}

// looksUp tells whether a command looks for descriptors by name.
func looksUp(command string) bool {
	return open[command] || slices.ContainsFunc(of[command], func(m *member) bool { return !m.use.IsSet() })
}

// checkNames checks the text of a member that names descriptors.
func (m *member) checkNames(text string, may Names) error {
	if m.prefix {
		name, is := strings.CutPrefix(text, markerName)
		if !is {
			return nil // another kind of address
		}
		text = name
	}
	names := []string{text}
	if m.list {
		names = strings.Split(text, ":")
	}
	for _, name := range names {
		if !m.prefix && text == markerName {
			name = "" // what a descriptor is decided as, which nobody may write
		}
		if err := may.Name(name); err != nil {
			return err
		}
	}
	return nil
}

// mentionsSet tells whether there may be the name of a set in arguments: QEMU decodes escapes once more in a json: filename, as often as
// they are within each other.
func mentionsSet(arguments []byte) bool {
	return bytes.Contains(arguments, []byte("/fdset")) || bytes.Contains(arguments, []byte(`\\`))
}

// maxEscaped is how often what is escaped may be so once more: QEMU needs it once, or twice for an image in an image.
const maxEscaped = 16

// jsonPrefix begins a file's name that is a block node's options.
const jsonPrefix = "json:"

// namesFD finds an address of the type fd in such options: QEMU's JSON has strings in either quotes.
var namesFD = regexp.MustCompile(`["']fd["']`)

var errNested = faultText("a name that begins with json: can't have a socket's address of type fd in it, where it is not seen whose the descriptor is; give the options to blockdev-add")

// checkNested checks all names of sets that are in a text, and whether it has a block node's options that name a descriptor, however
// escaped.
func checkNested(text string, may Names) error {
	isJSON := false
	for range maxEscaped {
		if isJSON = isJSON || strings.Contains(text, jsonPrefix); isJSON && namesFD.MatchString(text) {
			return errNested
		}
		for rest, found := text, true; ; {
			if _, rest, found = strings.Cut(rest, SetPrefix); !found {
				break
			}
			id, fault := setID(rest)
			if fault == nil {
				fault = may.Set(id)
			}
			if fault != nil {
				return fault
			}
		}
		unescaped := unescape(text)
		if unescaped == text {
			return nil
		}
		text = unescaped
	}
	return errEscaped
}

// setID is the number at the beginning of text. QEMU would also take it with spaces, zeros or a sign before it.
func setID(text string) (int64, error) {
	digits := text[:len(text)-len(strings.TrimLeft(text, "0123456789"))]
	id, err := strconv.ParseInt(digits, 10, 32)
	if err != nil || strconv.FormatInt(id, 10) != digits {
		return 0, errNoSet
	}
	return id, nil
}

var errNoSet = faultText("after " + SetPrefix + " the number of a set has to follow, as add-fd tells it; a file descriptor of your own can be passed in its place (D-Bus type h)")

var errEscaped = faultText("escapes in escapes, " + strconv.Itoa(maxEscaped) + " times or more")

type faultText string

func (f faultText) Error() string { return string(f) }

// escapes are those of QEMU's JSON.
var escapes = regexp.MustCompile(`\\(?:u[0-9a-fA-F]{4}|.)`)

// unescape decodes one level of them. It is shorter unless there were none.
func unescape(text string) string {
	return escapes.ReplaceAllStringFunc(text, func(escape string) string {
		if len(escape) < 6 {
			return escape[1:] // those of control characters are in no name
		}
		code, _ := strconv.ParseUint(escape[2:], 16, 16)
		return string(rune(code))
	})
}

// Taken are the names of descriptors in the arguments of a command that QEMU has taken when it has succeeded.
func Taken(command string, arguments []byte) (names []string) {
	if !slices.ContainsFunc(of[command], func(m *member) bool { return m.taken }) {
		return nil
	}
	t := treeOf(arguments)
	each(arguments, func(s spot) bool {
		m := memberAt(command, t, s.path)
		if m == nil || !m.taken {
			return true
		}
		var text string
		_ = json.Unmarshal(arguments[s.start:s.end], &text)
		if name, is := strings.CutPrefix(text, markerName); is == m.prefix {
			names = append(names, name)
		}
		return true
	})
	return names
}
