package wire

// The type codes of a signature, as Kind gives them.
const (
	codeArray       = 'a'
	codeVariant     = 'v'
	codeStruct      = '('
	codeStructEnd   = ')'
	codeDictEntry   = '{'
	codeDictEnd     = '}'
	codeBool        = 'b'
	codeUnixFD      = 'h'
	codeString      = 's'
	codeObjectPath  = 'o'
	codeSignature   = 'g'
	structAlignment = 8
)

// sizes holds the bytes of a fixed type, 0 for other codes.
var sizes = [256]uint8{
	'y': 1, 'b': 4, 'n': 2, 'q': 2, 'i': 4, 'u': 4, 'h': 4, 'x': 8, 't': 8, 'd': 8,
}

// alignments holds the alignment in bytes of a type by its first code, 0 for what
// no type begins with.
var alignments = [256]uint8{
	'y': 1, 'b': 4, 'n': 2, 'q': 2, 'i': 4, 'u': 4, 'h': 4, 'x': 8, 't': 8, 'd': 8,
	's': 4, 'o': 4, 'g': 1, 'v': 1, 'a': 4, '(': 8, '{': 8,
}

// basic says whether code is a basic type: a fixed one or one like a string.
func basic(code byte) bool {
	return sizes[code] != 0 || code == codeString || code == codeObjectPath || code == codeSignature
}
