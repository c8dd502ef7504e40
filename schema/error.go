package schema

import (
	"strconv"
	"strings"

	"qmp-dbus-bridge/schema/wire"
)

// ArgumentError says that a caller's value can't be an argument, and where it
// is. Its text is for that caller: it has parts of the caller's own values.
type ArgumentError struct {
	Path string // command first: blockdev-add.file.size, send-key.keys[2]
	Text string // what is wrong with the value there
}

func (e *ArgumentError) Error() string { return e.Path + ": " + e.Text }

// How much a path shows, so that it stays within a few kilobytes. Values from
// D-Bus nest no deeper than its parts.
const (
	maxPathParts = wire.MaxDepth
	maxPathPart  = 64 // bytes of a key
)

// place is the way from a value up to the root, built while the callers of
// what failed return: the innermost part comes first. It costs nothing until
// something fails.
type place struct{ parts []string }

func (p *place) inMember(key []byte) { p.parts = append(p.parts, "."+clip(key)) }

func (p *place) inElement(i int) { p.parts = append(p.parts, "["+strconv.Itoa(i)+"]") }

// under returns the path with the root before it.
func (p *place) under(root string) string {
	var b strings.Builder
	b.WriteString(root)
	for i := len(p.parts) - 1; i >= 0; i-- {
		b.WriteString(p.parts[i])
	}
	return b.String()
}

// clip shortens a key for an error, at a rune's edge.
func clip(key []byte) string {
	if len(key) <= maxPathPart {
		return string(key)
	}
	return strings.ToValidUTF8(string(key[:maxPathPart]), "") + "..."
}
