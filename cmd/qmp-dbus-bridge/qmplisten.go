package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"qmp-dbus-bridge/bridge/qmpserver"
)

// listenFlags say where QMP clients may come in.
type listenFlags struct {
	QMPListen string `name:"qmp-listen" placeholder:"PATH" help:"Also serve QMP at a socket there, for qmp-shell and others that know no D-Bus; each client is decided on as the user that it is of. The directory must be one that only you and root can change."`

	listenPath string // QMPListen, absolute; empty without it
}

// check finds the mistakes that the parser can't see.
func (f *listenFlags) check() (err error) {
	if f.QMPListen != "" {
		f.listenPath, err = filepath.Abs(f.QMPListen)
	}
	return err
}

// Modes of the socket. Whoever may connect is asked for by the policy.
const (
	ownSocket    = 0o600 // for us and root
	groupSocket  = 0o660 // and the bus's group
	publicSocket = 0o666
)

// socketMode opens the socket to those who are granted something, as the private bus's directory is.
func (f *privateFlags) socketMode() (mode fs.FileMode, gid int) {
	if f.group != nil {
		return groupSocket, int(*f.group)
	}
	for _, g := range f.grants {
		if g.Group || g.ID != 0 && g.ID != uint32(os.Geteuid()) {
			return publicSocket, -1
		}
	}
	return ownSocket, -1
}

// listen opens the socket for QMP clients, if there is to be one.
func (s *service) listen() error {
	path := s.flags.listenPath
	if path == "" {
		return nil
	}
	mode, gid := s.flags.socketMode()
	l, err := qmpserver.Listen(path, mode, gid)
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("%w: make the directory", err)
	}
	if err != nil {
		return fmt.Errorf("--qmp-listen: %w", err)
	}
	s.bridge.Listen(l)
	s.listener = l
	return nil
}
