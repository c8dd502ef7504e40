package bridge

import (
	"errors"
	"fmt"
	"sync"

	"qmp-dbus-bridge/qmp"
)

// fdnames has QEMU close the descriptors that it knows by name and that no command has taken. A monitor of QEMU's keeps them over the
// end of a connection: what could not be closed before it is closed after the next one has begun.
type fdnames struct {
	mu     sync.Mutex // guards strays; held for a step
	strays []string   // at most those of the commands that were in flight when the connection ended
}

// getFD is the command that gives QEMU a descriptor by name.
func getFD(name string, fd int) qmp.Command {
	return qmp.Command{Name: "getfd", Arguments: fdArguments(name), FDs: []int{fd}}
}

func fdArguments(name string) []byte { return fmt.Appendf(nil, `{"fdname":%q}`, name) } // the bridge's own; nothing to escape

// close has QEMU close a descriptor, unless a command has taken it, and calls then.
func (n *fdnames) close(monitor *qmp.Conn, name string, then func()) {
	monitor.Start(qmp.Command{Name: "closefd", Arguments: fdArguments(name)}, func(reply qmp.Reply) {
		if errors.Is(reply.Err, qmp.ErrClosed) {
			n.stray(name)
		}
		then()
	})
}

// stray notes a descriptor that QEMU may have still, at the end of a connection.
func (n *fdnames) stray(name string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.strays = append(n.strays, name)
}

// gather has a QEMU that has been reached close what was left over from the connection before. If it is another one, it says that it
// has none such.
func (n *fdnames) gather(monitor *qmp.Conn) {
	n.mu.Lock()
	strays := n.strays
	n.strays = nil
	n.mu.Unlock()
	for _, name := range strays {
		n.close(monitor, name, func() {})
	}
}
