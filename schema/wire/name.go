package wire

// class is a set of kinds of characters in names.
type class uint8

const (
	letter class = 1 << iota // and the underscore
	digit
	hyphen

	memberFirst = letter
	memberRest  = letter | digit
	busFirst    = letter | hyphen
	busRest     = letter | digit | hyphen
)

// classes holds the class of each byte, 0 for those that no name has.
var classes = func() (t [256]class) {
	for c := 'a'; c <= 'z'; c++ {
		t[c], t[c-'a'+'A'] = letter, letter
	}
	for c := '0'; c <= '9'; c++ {
		t[c] = digit
	}
	t['_'], t['-'] = letter, hyphen
	return t
}()

// ValidPath says whether s is an object path. Its length has no limit.
func ValidPath(s string) bool {
	if s == "" || s[0] != '/' {
		return false
	}
	slash := true
	for i := 1; i < len(s); i++ {
		switch {
		case s[i] != '/':
			if classes[s[i]]&memberRest == 0 {
				return false
			}
			slash = false
		case slash:
			return false
		default:
			slash = true
		}
	}
	return !slash || len(s) == 1
}

// ValidInterface says whether s is an interface name: two or more elements with
// dots between, at most MaxName bytes.
func ValidInterface(s string) bool {
	return len(s) <= MaxName && dotted(s, memberFirst, memberRest)
}

// ValidErrorName says whether s is an error name; the rules are an interface's.
func ValidErrorName(s string) bool { return ValidInterface(s) }

// ValidMember says whether s is the name of a method or signal.
func ValidMember(s string) bool {
	if s == "" || len(s) > MaxName || classes[s[0]]&memberFirst == 0 {
		return false
	}
	for i := 1; i < len(s); i++ {
		if classes[s[i]]&memberRest == 0 {
			return false
		}
	}
	return true
}

// ValidBusName says whether s is a unique name, as ":1.5", or a well-known one.
// Both have two or more elements, also unique ones, for which libdbus does not
// insist on it.
func ValidBusName(s string) bool {
	if s == "" || len(s) > MaxName {
		return false
	}
	if s[0] == ':' {
		return dotted(s[1:], busRest, busRest)
	}
	return dotted(s, busFirst, busRest)
}

// dotted says whether s has two or more elements, each beginning with one of first
// and going on with any of rest.
func dotted(s string, first, rest class) bool {
	dots, want := 0, first
	for i := range len(s) {
		switch {
		case classes[s[i]]&want != 0:
			want = rest
		case s[i] == '.' && i > 0 && s[i-1] != '.':
			dots++
			want = first
		default:
			return false
		}
	}
	return dots > 0 && s[len(s)-1] != '.'
}
