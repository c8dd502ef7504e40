package sandbox

import (
	"fmt"
	"path/filepath"

	"github.com/landlock-lsm/go-landlock/landlock"
	ll "github.com/landlock-lsm/go-landlock/landlock/syscall"
)

const (
	mayRead   = ll.AccessFSReadFile
	mayAppend = ll.AccessFSMakeReg | ll.AccessFSWriteFile

	mayRemoveFiles       = ll.AccessFSRemoveFile
	mayRemoveDirectories = ll.AccessFSRemoveDir // a right to the directory that they are in
)

// scopedSince is the version of landlock that first had scopes.
const scopedSince = 6

// confineFiles enters landlock. Versions beyond 7 restrict what no kernel at hand could be tried
// with: the ninth, connecting to sockets in directories that systemd removes and makes anew
// when QEMU restarts.
func (c Config) confineFiles() ([]Lack, error) {
	version, err := ll.LandlockGetABIVersion()
	if err != nil || version < 1 {
		return []Lack{{"landlock", "any file that the user may open stays open to it"}}, nil
	}
	config := landlock.V7.BestEffort()
	if c.Abstract {
		config.Scoped &^= ll.ScopeAbstractUnixSocket
	}
	if len(c.Children) > 0 { // they are outside; the filter of system calls knows them
		config.Scoped &^= ll.ScopeSignal
	}
	var above []string
	for _, dir := range c.Remove {
		above = append(above, filepath.Dir(dir))
	}
	err = config.Restrict(
		landlock.PathAccess(mayRead, c.Read...),
		landlock.PathAccess(mayAppend, c.Append...),
		landlock.PathAccess(mayRemoveFiles, c.Remove...),
		landlock.PathAccess(mayRemoveFiles, c.Unlink...),
		landlock.PathAccess(mayRemoveDirectories, above...),
	)
	if err != nil {
		return nil, fmt.Errorf("landlock: %w", err)
	}
	if version < scopedSince && config.Scoped != 0 {
		return []Lack{{"landlock scopes", "other processes' abstract sockets and signals stay in reach"}}, nil
	}
	return nil, nil
}
