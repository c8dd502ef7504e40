package schema

// Descriptor is a file descriptor that a caller gave in the place of a string: QEMU knows it by a name, which is not
// for this package to choose.
type Descriptor struct {
	Start int    // where the JSON "" that stands for it begins in what was appended
	Index uint32 // among those of the message
}

// takesFDs tells whether there are descriptors at the decoder, one or an array, and they may be.
func (a *arguments) takesFDs() bool {
	kind := a.decoder.Kind()
	return a.fds != nil && (kind == 'h' || kind == 'a' && a.decoder.Type() == "ah")
}

// descriptors writes one string for what is at the decoder: a descriptor, or an array of some, for a string that lists their names.
func (a *arguments) descriptors() {
	if a.fds == nil {
		a.fail("a file descriptor has no place here")
		return
	}
	start, before := len(a.json)-a.start, len(*a.fds)
	if a.decoder.Kind() == 'h' {
		*a.fds = append(*a.fds, Descriptor{start, a.decoder.UnixFD()})
	} else {
		for a.decoder.Enter(); a.decoder.More(); {
			*a.fds = append(*a.fds, Descriptor{start, a.decoder.UnixFD()})
		}
		a.decoder.Exit()
	}
	if len(*a.fds) == before {
		a.fail("expected a file descriptor, got none")
	}
	a.json = append(a.json, '"', '"')
}
