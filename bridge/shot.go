package bridge

import (
	"qmp-dbus-bridge/bridge/fdpass"
	"qmp-dbus-bridge/bridge/picture"
	"qmp-dbus-bridge/qmp"
	"qmp-dbus-bridge/schema/wire"
)

// shot is one screenshot on its way:
//
//	add-fd -> screendump -> remove-fd -> print -> reply
//
// Of these the screendump is the caller's; the others are by the bridge's own right. Each step begins the next one; whatever fails
// on the way, QEMU is told to let go of the file, all that the bridge has open is closed, and then the call is answered and the
// next shot begins.
type shot struct {
	*request
	screens *screens
	set     *canvas
	keep    bool // it is for the next shot too
	err     error
}

// canvas is a file that a QEMU has to write a picture into, by a set of descriptors.
type canvas struct {
	*picture.File
	monitor *qmp.Conn
	passed  *fdpass.Set
}

// begin begins with the fdset that was kept, or with a new one.
func (s *shot) begin() {
	if s.monitor == nil {
		s.giveUp(&failure{errDisconnected, textNoQEMU})
		return
	}
	if err := s.screens.prints.room(s.caller.UID); err != nil {
		s.giveUp(err)
		return
	}
	if s.set = s.screens.takeKept(s.monitor); s.set != nil {
		s.dump()
		return
	}
	s.addFD()
}

// addFD gives QEMU a file.
func (s *shot) addFD() {
	file, err := picture.NewFile()
	if err != nil {
		s.giveUp(err)
		return
	}
	set, err := s.bridge.holdings.NewSet(s.monitor)
	if err != nil {
		_ = file.Close()
		s.giveUp(err)
		return
	}
	s.set = &canvas{File: file, monitor: s.monitor, passed: set}
	writer, err := file.Writer()
	if err != nil {
		set.Drop()
		s.giveUp(err)
		return
	}
	set.Add(s.monitor, writer, s.added)
}

func (s *shot) added(reply qmp.Reply) {
	if reply.Err != nil {
		s.set.passed.Drop()
		s.giveUp(reply.Err)
		return
	}
	s.dump()
}

// dump has QEMU write the picture.
func (s *shot) dump() {
	s.forwardInto("filename", s.set.passed.Name(), s.dumped)
}

func (s *shot) dumped(reply qmp.Reply) {
	s.err = reply.Err
	if s.keep = s.bridge.holdings.KeepsRemoved(s.monitor); s.keep {
		s.print()
		return
	}
	s.set.passed.Remove(s.monitor, s.print)
}

// print makes the caller's picture, on a goroutine of its own: the QMP reader has others to serve.
func (s *shot) print() {
	if s.err != nil {
		s.conclude(nil)
		return
	}
	s.screens.printing.Go(func() {
		format, _ := s.subject.(picture.Format)
		var p *picture.Print
		p, s.err = s.set.Print(format)
		s.conclude(p)
	})
}

// giveUp concludes a shot that has failed.
func (s *shot) giveUp(err error) {
	s.err = err
	s.conclude(nil)
}

// conclude lets go of the file, answers the call, with the picture unless the shot has failed, and lets the next one begin.
func (s *shot) conclude(p *picture.Print) {
	switch {
	case s.set == nil:
	case s.keep:
		s.screens.keepFor(s.set)
	default:
		_ = s.set.Close() // nothing depends on what was in it
	}
	if s.err != nil {
		s.fail(s.err)
	} else {
		s.answer(p)
	}
	s.screens.next()
}

func (s *shot) answer(p *picture.Print) {
	fds := []int{p.TakeFD()}
	s.screens.prints.add(s.caller.UID, p)
	err := s.ReplyFDs("h", fds, func(e *wire.Encoder) error {
		e.UnixFD(0)
		return nil
	})
	if err != nil {
		s.fail(s.replyFailure(err))
		return
	}
	s.finish(resultOK)
}
