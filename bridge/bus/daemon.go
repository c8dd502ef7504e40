package bus

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"sync"
	"syscall"
	"time"
)

const (
	// startTimeout is how long dbus-daemon may take until it listens. It takes
	// about 10 ms; NSS look-ups over a network may make it longer.
	startTimeout = 10 * time.Second
	// stopTimeout is how long dbus-daemon may take to end after SIGTERM before
	// SIGKILL. It ends within milliseconds.
	stopTimeout = 2 * time.Second
)

// Daemon is a running private bus. Its methods may be called from any goroutine.
type Daemon struct {
	address string
	dir     *directory
	process *process

	close    sync.Once
	closed   chan struct{} // Close was called: the process ends as asked
	closeErr error
}

// Start starts the bus that c describes and returns when it answers. ctx bounds
// the start only. The directory and its parents are made where they are
// missing; Start fails if they aren't safe, if a bus already runs there, or if
// dbus-daemon isn't installed. The daemon gets none of our file descriptors and
// nothing of our environment, and is killed by the kernel if we die.
func Start(ctx context.Context, c Config) (*Daemon, error) {
	place, err := Reserve(c)
	if err != nil {
		return nil, err
	}
	d, err := place.Start(ctx, c)
	if err != nil {
		return nil, errors.Join(err, place.Close())
	}
	return d, nil
}

// Place is where a bus is to run: its directory, ours alone until Close or the daemon's. It is for who
// has something to do between knowing that the bus can be had and starting it.
type Place struct {
	dir        *directory
	program    string
	credential *syscall.Credential
}

// Reserve does of Start what c suffices for without QEMU's uid, which Place.Start may add: it fails for
// the same reasons, if not for those of dbus-daemon's own.
func Reserve(c Config) (*Place, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	program, err := findProgram()
	if err != nil {
		return nil, err
	}
	credential, err := c.credential()
	if err != nil {
		return nil, err
	}
	dir, err := openDirectory(c.Dir, c.door())
	if err != nil {
		return nil, fmt.Errorf("bus directory: %w", err)
	}
	if err := c.reach(dir); err != nil {
		return nil, fmt.Errorf("bus directory: %w", errors.Join(err, dir.leave()))
	}
	if err := dir.clear(); err != nil {
		return nil, errors.Join(err, dir.leave())
	}
	return &Place{dir, program, credential}, nil
}

// Start is the function Start with the Config of Reserve, in which QEMU may be known by now. When it fails,
// the place is still reserved.
func (p *Place) Start(ctx context.Context, c Config) (*Daemon, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	c.Dir = p.dir.path
	if err := p.dir.become(c.door()); err != nil {
		return nil, fmt.Errorf("bus directory: %w", err)
	}
	c.warn(p.dir)
	process, err := c.launch(ctx, p)
	if err != nil {
		return nil, err
	}
	return &Daemon{address: c.Address(), dir: p.dir, process: process, closed: make(chan struct{})}, nil
}

// Close gives the place back. It is not for one where a daemon was started, which does that itself.
func (p *Place) Close() error { return p.dir.leave() }

func findProgram() (string, error) {
	program, err := exec.LookPath("dbus-daemon")
	if err != nil {
		return "", errors.New("dbus-daemon is not installed: install the package dbus-daemon (Debian, Fedora) or use a bus that is already running (--bus)")
	}
	return program, nil
}

// launch writes the configuration and starts the program on it. It leaves no files
// behind when it fails.
func (c Config) launch(ctx context.Context, at *Place) (*process, error) {
	text, err := c.Render()
	if err != nil {
		return nil, err
	}
	path, err := at.dir.writeConfig(text)
	if err != nil {
		return nil, err
	}
	p, err := spawn(ctx, at.program, path, at.credential, c.Logger)
	if err != nil {
		return nil, errors.Join(err, at.dir.removeFiles())
	}
	return p, nil
}

// Address is the bus's D-Bus address.
func (d *Daemon) Address() string { return d.address }

// PID is the process id of dbus-daemon.
func (d *Daemon) PID() int { return d.process.pid() }

// Done is closed when dbus-daemon has ended, by Close or by itself.
func (d *Daemon) Done() <-chan struct{} { return d.process.done }

// Err says why dbus-daemon ended; nil while it runs and after Close.
func (d *Daemon) Err() error {
	select {
	case <-d.closed:
		return nil
	default:
	}
	select {
	case <-d.process.done:
		return d.process.err
	default:
		return nil
	}
}

// Close ends dbus-daemon, waits for it, and removes the files that Start made.
// Closing again does nothing and returns the same.
func (d *Daemon) Close() error {
	d.close.Do(func() {
		close(d.closed)
		d.process.stop()
		d.closeErr = d.dir.close()
	})
	return d.closeErr
}
