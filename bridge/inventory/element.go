package inventory

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
