package sandbox

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
	"kernel.org/pub/linux/libs/security/libcap/psx"
)

// Config is what the process still needs. The zero value allows what it holds open, and
// connecting to sockets.
type Config struct {
	Read     []string // directories in which files may be opened for reading
	Append   []string // directories in which files may be made and opened for writing
	Remove   []string // directories that may be removed, and the files in them
	Unlink   []string // directories in which files may be removed
	Accept   []int    // listening sockets, at which connections may be accepted
	Abstract bool     // sockets in the abstract name space have to be reached
	Children []int    // process ids that signals may be sent to, by kill(2) alone
}

// Lack is a part of the sandbox that the kernel does not have.
type Lack struct {
	Part string // "landlock", "seccomp"
	Open string // what stays possible
}

// String is "landlock: any file that the user may open stays open to it".
func (l Lack) String() string { return l.Part + ": " + l.Open }

// Enter confines the process, all its threads, for good. What the kernel has no part for stays as it
// was, and is returned; an error is a part that could not be entered, or a directory of c
// that isn't there. The process must not go on after an error.
func (c Config) Enter() ([]Lack, error) {
	loadLazily()
	// Both parts need it. Package syscall has no call for all threads where C code has some.
	if _, _, errno := psx.Syscall6(unix.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0, 0); errno != 0 {
		return nil, fmt.Errorf("no new privileges: %w", errno)
	}
	var lacks []Lack
	for _, part := range []func() ([]Lack, error){c.confineFiles, c.confineCalls} { // the second forbids the first
		missing, err := part()
		if err != nil {
			return nil, err
		}
		lacks = append(lacks, missing...)
	}
	return lacks, nil
}

// loadLazily has Go's library read what it would read when it is first used: the time zone.
func loadLazily() { _ = time.Local.String() }
