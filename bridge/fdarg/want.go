package fdarg

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// want is what a descriptor has to be. It says what is wrong with one, "" if nothing is.
type want func(is state, t tree, place []string) string

// state is what a descriptor is.
type state struct {
	mode   int // O_RDONLY, O_WRONLY or O_RDWR
	socket bool
}

func stateOf(fd int) (is state, fault string) {
	flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
	if err != nil {
		return is, os.NewSyscallError("fcntl", err).Error()
	}
	if flags&unix.O_PATH != 0 {
		return is, "the descriptor is only of a path (O_PATH): open the file itself"
	}
	var stat unix.Statx_t
	// No file system is asked, which may be one of the caller's that does not answer.
	if err := unix.Statx(fd, "", unix.AT_EMPTY_PATH|unix.AT_STATX_DONT_SYNC, unix.STATX_TYPE, &stat); err != nil {
		return is, os.NewSyscallError("statx", err).Error()
	}
	return state{flags & unix.O_ACCMODE, stat.Mode&unix.S_IFMT == unix.S_IFSOCK}, ""
}

func anything(state, tree, []string) string { return "" }

func socket(is state, _ tree, _ []string) string {
	if !is.socket {
		return "the descriptor is no socket, which QEMU wants here"
	}
	return ""
}

func readable(is state, _ tree, _ []string) string {
	if is.mode == unix.O_WRONLY {
		return "the descriptor is not open for reading"
	}
	return ""
}

func writable(is state, _ tree, _ []string) string {
	if is.mode == unix.O_RDONLY {
		return "the descriptor is not open for writing"
	}
	return ""
}

func readOnly(is state, _ tree, _ []string) string  { return exactly(is, unix.O_RDONLY) }
func writeOnly(is state, _ tree, _ []string) string { return exactly(is, unix.O_WRONLY) }
func readWrite(is state, _ tree, _ []string) string { return exactly(is, unix.O_RDWR) }

// exactly is for what QEMU opens by the name of a set: it takes a member that is open as it wants one, not one that can more.
func exactly(is state, mode int) string {
	if is.mode == mode {
		return ""
	}
	return fmt.Sprintf("the descriptor is open %s, and QEMU takes one here that is open %s", modes[is.mode], modes[mode])
}

var modes = map[int]string{
	unix.O_RDONLY: "for reading only (O_RDONLY)", unix.O_WRONLY: "for writing only (O_WRONLY)", unix.O_RDWR: "for both (O_RDWR)",
	unix.O_ACCMODE: "for neither",
}

// asNode is for a block node: for reading only if the node is, which it is below one that is, and as a backing file. QEMU opens one that
// it may open either way (auto-read-only) as its users need it.
func asNode(is state, t tree, place []string) string {
	either := false
	for at := place[:len(place)-1]; ; at = at[:len(at)-1] {
		here, _ := t.at(at).(map[string]any)
		if only, told := here["read-only"].(bool); told && only {
			return exactly(is, unix.O_RDONLY)
		} else if told {
			break
		}
		if auto, told := here["auto-read-only"].(bool); told && auto {
			either = true
		}
		if len(at) == 0 {
			break
		}
		if at[len(at)-1] == "backing" {
			return exactly(is, unix.O_RDONLY)
		}
	}
	if either && is.mode == unix.O_RDONLY {
		return ""
	}
	return exactly(is, unix.O_RDWR)
}
