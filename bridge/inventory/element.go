package inventory

import "encoding/hex"

// Element makes an id the last element of an object path, as systemd's bus_label_escape does: what is no ASCII
// letter or digit, and a digit at the beginning, becomes an underscore with two hexadecimal digits; no id
// becomes an underscore. Different ids make different elements.
func Element(id string) string {
	const hexadecimal = "0123456789abcdef"
	if id == "" {
		return "_"
	}
	element := make([]byte, 0, len(id))
	for i := range len(id) {
		c := id[i]
		isLetter := 'a' <= c|0x20 && c|0x20 <= 'z'
		if isLetter || i > 0 && '0' <= c && c <= '9' {
			element = append(element, c)
		} else {
			element = append(element, '_', hexadecimal[c>>4], hexadecimal[c&15])
		}
	}
	return string(element)
}

// ID is the inverse of Element: the id of which this is the element. Each id has one element; what is none has no id.
func ID(element string) (id string, found bool) {
	if element == "_" {
		return "", true
	}
	raw := make([]byte, 0, len(element))
	for i := 0; i < len(element); i++ {
		c := element[i]
		if c == '_' {
			b, err := hex.DecodeString(element[i+1 : min(i+3, len(element))])
			if err != nil || len(b) != 1 {
				return "", false
			}
			c = b[0]
			i += 2
		}
		raw = append(raw, c)
	}
	id = string(raw)
	return id, Element(id) == element
}
