package endpoint

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
)

// SocketPath returns the first entry of a D-Bus address list that is a Unix socket,
// as the socket package takes it: a path, or @name for an abstract one. No other
// transport carries the credentials and descriptors that the bridge lives by.
func SocketPath(address string) (string, error) {
	for entry := range strings.SplitSeq(address, ";") {
		options, ok := strings.CutPrefix(entry, "unix:")
		if !ok {
			continue
		}
		for option := range strings.SplitSeq(options, ",") {
			key, value, _ := strings.Cut(option, "=")
			if key != "path" && key != "abstract" {
				continue
			}
			// %-escapes as in URLs; unlike QueryUnescape, PathUnescape leaves + alone.
			path, err := url.PathUnescape(value)
			if err != nil {
				return "", fmt.Errorf("bus address %q: %w", address, err)
			}
			if key == "abstract" {
				path = "@" + path
			}
			return path, nil
		}
	}
	return "", fmt.Errorf("bus address %q: %w", address, errNoUnixSocket)
}

var errNoUnixSocket = errors.New("names no Unix socket (unix:path=... or unix:abstract=...)")
