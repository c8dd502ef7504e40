package main

import (
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"strings"

	"qmp-dbus-bridge/bridge/account"
	"qmp-dbus-bridge/qmp"
)

// owner is QEMU's own user, who may not call the bridge. It is set before the bridge
// joins a bus and never changes: the rules of the bus are made for it.
type owner struct {
	given bool // by --qemu-user
	uid   *uint32
}

// met takes the user of a monitor that was connected to, and refuses another than the first.
func (o *owner) met(monitor *qmp.Conn) error {
	if o.given {
		return nil
	}
	uid, err := monitor.PeerUID()
	switch {
	case err != nil:
		return fmt.Errorf("QEMU's user: %w", err)
	case o.uid == nil:
		o.uid = &uid
	case *o.uid != uid:
		return fmt.Errorf("QEMU's monitor is of uid %d now, and was of uid %d: restart the bridge, or say --qemu-user", uid, *o.uid)
	}
	return nil
}

// started takes the user of a child that is QEMU by now.
func (o *owner) started(pid int) error {
	if o.given {
		return nil
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return fmt.Errorf("QEMU's user: %w", err)
	}
	_, line, _ := strings.Cut(string(status), "\nUid:") // real, effective, saved, file system
	fields := strings.Fields(line)
	if len(fields) < 2 {
		return fmt.Errorf("QEMU's user: /proc/%d/status has no Uid", pid)
	}
	effective, err := strconv.ParseUint(fields[1], 10, 32)
	if err != nil {
		return fmt.Errorf("QEMU's user: %w", err)
	}
	uid := uint32(effective)
	o.uid = &uid
	return nil
}

// known is the uid, or nil where it stands for nobody, as the kernel has it for a user of another user
// namespace.
func (o *owner) known() *uint32 {
	if o.uid == nil || account.IsNobody(*o.uid) {
		return nil
	}
	return o.uid
}

// tell logs what can't be kept apart.
func (o *owner) tell(log *slog.Logger) {
	switch uid := o.known(); {
	case uid == nil && o.uid != nil:
		log.Warn("QEMU's user is nobody, or of another user namespace, so it gets no name on the bus: start QEMU as a user of its own, "+
			"or say --qemu-user if it is one", "uid", *o.uid)
	case uid == nil:
		log.Warn("QEMU's user is unknown here, so it gets no name on the bus: say --qemu-user")
	case *uid == 0, int(*uid) == os.Geteuid():
		log.Info("QEMU has the user of root or of the bridge, so it may call the bridge as they may: give it one of its own, "+
			"by setpriv --reuid=UID --regid=GID --clear-groups before qemu-system-... where it is started", "uid", *uid)
	}
}
