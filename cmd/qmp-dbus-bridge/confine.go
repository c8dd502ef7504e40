package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"qmp-dbus-bridge/bridge/endpoint"
	"qmp-dbus-bridge/bridge/qmpserver"
	"qmp-dbus-bridge/bridge/sandbox"
)

// sandboxFlags say how the bridge confines itself once it has started.
type sandboxFlags struct {
	Sandbox string `default:"auto" enum:"auto,off,require" placeholder:"HOW" help:"How the bridge confines itself once started: auto (the default) as far as the kernel can, require to end where it can't, off."`
}

// confinement is what a service has to know to confine itself.
type confinement struct {
	monitor  string              // the address that QEMU comes back at, if it may
	busDir   string              // of the private bus
	listener *qmpserver.Listener // for QMP clients; nil without one
	children []int               // that we end, beside the bus
	// mappings waits for those of the program, for releaseMemory: they are looked for before /proc goes out of reach.
	mappings func() ([]mapping, error)
}

// confine takes from the process what serving on the bus at address doesn't need. Our children
// run already, and stay as they are.
func (s *service) confine(address string) error {
	if _, err := s.mappings(); err != nil {
		s.log.Warn("memory of the program will not be given back", "error", err)
	}
	if s.flags.Sandbox == "off" {
		return nil
	}
	lacks, err := s.needs(address).Enter()
	switch {
	case err != nil:
		return fmt.Errorf("%w; --sandbox off does without the sandbox", err)
	case len(lacks) == 0:
		return nil
	case s.flags.Sandbox == "require":
		return fmt.Errorf("--sandbox require: the kernel lacks %s; use a newer one, or --sandbox auto", listLacks(lacks))
	}
	s.log.Warn("the kernel lacks parts of the sandbox", "lacks", listLacks(lacks))
	return nil
}

func listLacks(lacks []sandbox.Lack) string {
	texts := make([]string, len(lacks))
	for i, lack := range lacks {
		texts[i] = lack.String()
	}
	return strings.Join(texts, ", ")
}

// needs is what serving still takes.
func (s *service) needs(address string) sandbox.Config {
	c := sandbox.Config{Children: s.children, Abstract: s.reachesAbstract(address)}
	for _, file := range s.flags.Policy { // the directory: editors replace files
		c.Read = append(c.Read, filepath.Dir(file))
	}
	if file := s.audit.File(); file != "" { // the directory: the file is rotated
		c.Append = append(c.Append, filepath.Dir(file))
	}
	if s.listener != nil {
		c.Accept = append(c.Accept, s.listener.FD())
		c.Unlink = append(c.Unlink, s.listener.Dir())
	}
	if s.daemon != nil {
		c.Children = append(c.Children, s.daemon.PID())
		c.Remove = append(c.Remove, s.busDir)
	}
	return c
}

// reachesAbstract tells whether a socket that has no file is connected to from now on.
func (s *service) reachesAbstract(address string) bool {
	bus, _ := endpoint.SocketPath(address) // without one, joining fails and says so
	for _, socket := range []string{s.monitor, bus, os.Getenv("NOTIFY_SOCKET")} {
		if strings.HasPrefix(socket, "@") {
			return true
		}
	}
	return false
}
