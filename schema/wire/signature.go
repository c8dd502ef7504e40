package wire

import (
	"errors"
	"fmt"
)

var (
	errTypeCode   = errors.New("unknown type code")
	errCutShort   = errors.New("ends within a type")
	errEmpty      = errors.New("struct without members")
	errStrayEntry = errors.New("dict entry outside an array")
	errEntryKey   = errors.New("dict entry key is not a basic type")
	errEntrySize  = errors.New("dict entry has not exactly two members")
	errNotOneType = errors.New("not a single complete type")
)

// ValidateSignature checks that s is a list of zero or more complete types within
// MaxSignature, MaxArrayDepth and MaxStructDepth. Dict entries count as structs, as
// dbus-broker counts them; libdbus counts them apart and so accepts more.
func ValidateSignature(s string) error {
	if len(s) > MaxSignature {
		return errTooLong
	}
	for at := 0; at < len(s); {
		end, err := completeType(s, at, 0, 0)
		if err != nil {
			return fmt.Errorf("signature %q: %w", s, err)
		}
		at = end
	}
	return nil
}

// SplitSignature gives the first complete type of a valid signature and what is
// left. Both are empty for an empty s; for an invalid s they say nothing.
func SplitSignature(s string) (first, rest string) {
	if s == "" {
		return "", ""
	}
	end := typeEnd(s, 0)
	return s[:end], s[end:]
}

// validateSingle checks that s is exactly one complete type.
func validateSingle(s string) error {
	if len(s) == 1 && (basic(s[0]) || s[0] == codeVariant) {
		return nil
	}
	return validateWhole(s, 0)
}

// validateElement checks that s is what an array can hold.
func validateElement(s string) error {
	return validateWhole(s, 1)
}

// validateWhole checks that s is one complete type within that many arrays.
func validateWhole(s string, arrays int) error {
	if len(s)+arrays > MaxSignature {
		return errTooLong
	}
	end, err := elementType(s, 0, arrays, 0)
	if err != nil {
		return fmt.Errorf("signature %q: %w", s, err)
	}
	if end != len(s) {
		return fmt.Errorf("signature %q: %w", s, errNotOneType)
	}
	return nil
}

// elementType gives the end of the type at s[at:], which may be a dict entry if
// it is in an array.
func elementType(s string, at, arrays, structs int) (int, error) {
	if arrays > 0 && at < len(s) && s[at] == codeDictEntry {
		return entryType(s, at+1, arrays, structs+1)
	}
	return completeType(s, at, arrays, structs)
}

// completeType gives the end of the complete type at s[at:] within that many
// arrays and structs.
func completeType(s string, at, arrays, structs int) (int, error) {
	if at >= len(s) {
		return 0, errCutShort
	}
	switch code := s[at]; {
	case code == codeArray && arrays == MaxArrayDepth:
		return 0, errArraysDeep
	case code == codeArray:
		return elementType(s, at+1, arrays+1, structs)
	case code == codeStruct:
		return structType(s, at+1, arrays, structs+1)
	case code == codeDictEntry:
		return 0, errStrayEntry
	case basic(code) || code == codeVariant:
		return at + 1, nil
	}
	return 0, errTypeCode
}

// structType gives the end of the struct whose members begin at s[at:].
func structType(s string, at, arrays, structs int) (int, error) {
	if structs > MaxStructDepth {
		return 0, errStructsDeep
	}
	if at < len(s) && s[at] == codeStructEnd {
		return 0, errEmpty
	}
	for at < len(s) && s[at] != codeStructEnd {
		end, err := completeType(s, at, arrays, structs)
		if err != nil {
			return 0, err
		}
		at = end
	}
	if at == len(s) {
		return 0, errCutShort
	}
	return at + 1, nil
}

// entryType gives the end of the dict entry whose key is at s[at].
func entryType(s string, at, arrays, structs int) (int, error) {
	if structs > MaxStructDepth {
		return 0, errStructsDeep
	}
	if at >= len(s) {
		return 0, errCutShort
	}
	if !basic(s[at]) {
		return 0, errEntryKey
	}
	if at+1 < len(s) && s[at+1] == codeDictEnd {
		return 0, errEntrySize
	}
	end, err := completeType(s, at+1, arrays, structs)
	switch {
	case err != nil:
		return 0, err
	case end == len(s):
		return 0, errCutShort
	case s[end] != codeDictEnd:
		return 0, errEntrySize
	}
	return end + 1, nil
}

// typeEnd gives the end of the type at s[at:], which is known to be valid; for an
// invalid s it gives some place within s.
func typeEnd(s string, at int) int {
	for at < len(s) && s[at] == codeArray {
		at++
	}
	open := 0
	for ; at < len(s); at++ {
		switch s[at] {
		case codeStruct, codeDictEntry:
			open++
		case codeStructEnd, codeDictEnd:
			open--
		}
		if open <= 0 {
			return at + 1
		}
	}
	return len(s)
}
