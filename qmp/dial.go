package qmp

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"qmp-dbus-bridge/qmp/socket"
)

// Address tells where QEMU's monitor is: the path of its socket ("@name" in the abstract
// name space), or "fd:N" for a connected socket that this process inherited.
type Address string

// FD gives the number of an inherited file descriptor, if the address is one.
func (a Address) FD() (fd int, inherited bool) {
	number, found := strings.CutPrefix(string(a), "fd:")
	if !found {
		return 0, false
	}
	fd, err := strconv.Atoi(number)
	return fd, err == nil && fd >= 0
}

// Dial connects to a monitor, and returns when QEMU has greeted and agreed on
// capabilities; replies and events are read from then on. An inherited file descriptor is
// the Conn's from the call on, so it can be dialled once.
//
// The error wraps ErrBusy if QEMU let GreetingTimeout pass; the kernel's (such as
// fs.ErrNotExist) if it is not there, and ctx's if that ended first.
func Dial(ctx context.Context, address Address, options Options) (*Conn, error) {
	s, err := connect(ctx, address, options.withDefaults().GreetingTimeout)
	if err != nil {
		return nil, err
	}
	c, err := Open(ctx, s, options)
	if err != nil {
		return nil, fmt.Errorf("QMP at %q: %w", string(address), err)
	}
	return c, nil
}

func connect(ctx context.Context, address Address, timeout time.Duration) (*socket.Conn, error) {
	if fd, inherited := address.FD(); inherited {
		return socket.New(fd)
	}
	limited, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	s, err := socket.Dial(limited, string(address))
	if err != nil && limited.Err() != nil && ctx.Err() == nil {
		// The backlog is full of others (QEMU's is 1 long) that wait for a greeting.
		return nil, fmt.Errorf("QMP at %q: no connection within %v: %w", string(address), timeout, ErrBusy)
	}
	return s, err
}

// Open is Dial on a connected socket, which it owns from the call on.
func Open(ctx context.Context, s *socket.Conn, options Options) (*Conn, error) {
	c := newConn(s, options)
	stop := context.AfterFunc(ctx, func() { s.Close() })
	err := c.handshake()
	if !stop() {
		err = ctx.Err()
	}
	if err != nil {
		s.Close()
		return nil, fmt.Errorf("handshake: %w", err)
	}
	go c.run()
	return c, nil
}

func (c *Conn) handshake() error {
	c.limitTime()
	if err := c.readGreeting(); err != nil {
		return err
	}
	c.limitTime()
	if err := c.negotiate(); err != nil {
		return err
	}
	c.socket.SetReadDeadline(time.Time{})
	return nil
}

func (c *Conn) limitTime() {
	c.socket.SetReadDeadline(time.Now().Add(c.options.GreetingTimeout))
}

// readGreeting holds the greeting to a limit of its own, since what it says is kept.
func (c *Conn) readGreeting() error {
	c.lines.max = min(c.options.MaxLine, maxGreeting)
	line, err := c.lines.next()
	c.lines.max = c.options.MaxLine
	if errors.Is(err, os.ErrDeadlineExceeded) && c.lines.end == 0 {
		return fmt.Errorf("no greeting within %v: %w", c.options.GreetingTimeout, ErrBusy)
	}
	if err != nil {
		return fmt.Errorf("read greeting: %w", err)
	}
	if string(line) == "{" {
		return errors.New("the monitor spreads its messages over lines; take pretty=on from it")
	}
	m, err := c.parser.parse(line)
	if err != nil {
		return fmt.Errorf("greeting is not QMP: %v", err)
	}
	if m.greeting == nil {
		return errors.New("greeting is not QMP's")
	}
	c.greeting = *m.greeting
	return nil
}

// negotiate has the capabilities enabled, while this goroutine is the reader.
func (c *Conn) negotiate() error {
	oob := slices.Contains(c.greeting.capabilities, "oob")
	command := Command{Name: "qmp_capabilities"}
	if oob {
		command.Arguments = []byte(`{"enable":["oob"]}`)
	}
	var answer *Reply
	c.Start(command, func(r Reply) { answer = &r })
	for answer == nil {
		if err := c.receive(); err != nil {
			return fmt.Errorf("%s: %w", command.Name, err)
		}
	}
	if answer.Err != nil {
		return fmt.Errorf("%s: %w", command.Name, answer.Err)
	}
	c.oob = oob
	return nil
}
