package qmp

import "fmt"

// Version is QEMU's, from its greeting.
type Version struct {
	Major, Minor, Micro int
	Package             string // the distributor's addition, such as "Debian 1:7.2+dfsg-7+deb12u18+b3"
}

// String gives the numbers alone, such as "7.2.22".
func (v Version) String() string { return fmt.Sprintf("%d.%d.%d", v.Major, v.Minor, v.Micro) }
