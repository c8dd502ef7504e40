// Package goqemu has programs that were written for digitalocean's go-qemu reach a QEMU by the bridge, each with its
// own rights, or directly: a [Monitor] is a qmp.Monitor of go-qemu, as its SocketMonitor is.
//
// It is for clients. The bridge itself does not import it, so go-qemu, and go-libvirt which that imports, are not part
// of the program; they are here because qmp.Monitor and qmp.Event are go-qemu's types.
//
//   - [Bus] and [BusConn] run commands by CallJson of org.qemu.VM1 on a D-Bus, where policies decide what the caller may.
//     Any number of programs do so at once.
//   - [Direct] holds a monitor of QEMU's own by package qmp. It needs the socket, and nobody else has that meanwhile.
//
// # Run
//
// Run gives what SocketMonitor's gives: QEMU's answer {"return": ...}, or an error whose text is QEMU's description.
// Unlike there an error tells more by errors.As and errors.Is:
//
//   - [*qmp.Error] of this repository: QEMU refused, with its class.
//   - [fs.ErrPermission]: the caller may not; the text says what, and why.
//   - [qmp.ErrClosed]: the connection, the bridge or the bridge's QEMU is gone, or Disconnect was called. The command
//     may have been executed.
//   - [dbus.Error], by value: any error that came over the bus but QEMU's, with its name; docs/api.md lists them.
//
// A command is one JSON object with execute, arguments and id, which comes back in the answer. It is parsed before
// anything is sent, and an error that is none of these says what is wrong with it. exec-oob and descriptors are not for
// Run, as in SocketMonitor, so getfd and add-fd fail for want of one.
//
// Run may be called from anywhere and waits until there is an answer, or until Disconnect; commands go out at once, not
// one after another. Where SocketMonitor ends at an answer of 64 KiB, it may have 64 MiB directly
// ([qmp.DefaultMaxLine]), and over the bus the 4 MiB that the bridge gives.
//
// # Events
//
// Each channel that Events gives gets every event from then on, until its context ends, Disconnect is called or there
// is no more: when QEMU, the bridge or the bus ends, what came before is still given, and then the channel is closed. The
// bridge may outlive its QEMU; then the events of the next one follow.
//
// What nobody takes from a channel waits, up to [MaxEvents] and [MaxEventBytes]. Past that, events are dropped until
// the reader has taken all that waited; then an event [EventLost] tells how many. The bridge's own signal Lost comes as
// that too.
//
// Over the bus these are the signals of org.qemu.VM1.QMP.Events, with the names of QMP by its introspection. Some
// events go only to those who subscribe and may: [BusOptions] says which are asked for.
//
// # How it ends
//
// Disconnect fails what Run waits for, closes all channels, and returns when no goroutine of the Monitor is left. A
// connection that the caller gave is left open, without the matches and subscriptions that were made on it. Connect may
// be called again.
//
//	monitor := goqemu.Bus("unix:path=/run/qmp-dbus-bridge/vm7/bus", goqemu.BusOptions{})
//	if err := monitor.Connect(); err != nil {
//		return err
//	}
//	domain, err := qemu.NewDomain(monitor, "vm7") // github.com/digitalocean/go-qemu/qemu
//	if err != nil {
//		return err
//	}
//	defer domain.Close()
//	status, err := domain.Status()
package goqemu
