package access_test

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"
	"golang.org/x/sys/unix"

	"qmp-dbus-bridge/bridge/access"
)

const credentialsMethod = "GetConnectionCredentials"

// fakeBus is the bus driver as the test wants it: it answers Hello and AddMatch, what answer says to
// GetConnectionCredentials, and what names says about names.
type fakeBus struct {
	answer func(call *dbus.Message) *dbus.Message // nil: no answer
	names  func(call *dbus.Message) *dbus.Message // if nil, there are none

	mu    sync.Mutex // guards writing to conn, and asked
	conn  *net.UnixConn
	asked map[string]int
}

// startFakeBus returns a bus and a client connected to it. Both end with the test.
func startFakeBus(t *testing.T, answer func(call *dbus.Message) *dbus.Message) (*fakeBus, *dbus.Conn) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "bus")
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	bus := &fakeBus{answer: answer, asked: make(map[string]int)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		bus.serve(listener)
	}()
	client, err := dbus.Connect("unix:path=" + path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		client.Close()
		listener.Close()
		<-done
	})
	return bus, client
}

func (b *fakeBus) serve(listener *net.UnixListener) {
	conn, err := listener.AcceptUnix()
	if err != nil {
		return
	}
	defer conn.Close()
	b.mu.Lock()
	b.conn = conn
	b.mu.Unlock()
	reader := bufio.NewReader(conn)
	for line := ""; line != "BEGIN"; {
		text, err := reader.ReadString('\n')
		if err != nil {
			return
		}
		line = strings.TrimPrefix(strings.TrimSpace(text), "\x00")
		switch {
		case line == "AUTH":
			fmt.Fprint(conn, "REJECTED EXTERNAL\r\n")
		case strings.HasPrefix(line, "AUTH "):
			fmt.Fprint(conn, "DATA\r\n")
		case strings.HasPrefix(line, "DATA"):
			fmt.Fprint(conn, "OK 0123456789abcdef0123456789abcdef\r\n")
		case line == "NEGOTIATE_UNIX_FD":
			fmt.Fprint(conn, "AGREE_UNIX_FD\r\n")
		}
	}
	for {
		call, err := dbus.DecodeMessage(reader)
		if err != nil {
			return
		}
		if reply := b.reply(call); reply != nil {
			b.send(reply)
		}
	}
}

func (b *fakeBus) reply(call *dbus.Message) *dbus.Message {
	switch member := call.Headers[dbus.FieldMember].Value(); member {
	case "Hello":
		return replyTo(call, ":1.1")
	case credentialsMethod:
		b.mu.Lock()
		b.asked[call.Body[0].(string)]++
		b.mu.Unlock()
		return b.answer(call)
	case "ListNames", "GetNameOwner":
		if b.names != nil {
			return b.names(call)
		}
		return replyTo(call, []string{})
	}
	return replyTo(call)
}

// send writes a message; fds go along.
func (b *fakeBus) send(message *dbus.Message, fds ...int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var wire bytes.Buffer
	if _, err := message.EncodeToWithFDs(&wire, binary.LittleEndian); err != nil {
		panic(err)
	}
	var rights []byte
	if len(fds) > 0 {
		rights = unix.UnixRights(fds...)
	}
	// A client that has gone is no concern of the bus.
	_, _, _ = b.conn.WriteMsgUnix(wire.Bytes(), rights, nil)
}

// timesAsked is how often the credentials of a name were asked for.
func (b *fakeBus) timesAsked(name string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.asked[name]
}

// nameOwnerChanged sends the signal as coming from sender.
func (b *fakeBus) nameOwnerChanged(sender string, body ...any) {
	b.send(&dbus.Message{Type: dbus.TypeSignal, Headers: map[dbus.HeaderField]dbus.Variant{
		dbus.FieldPath:      dbus.MakeVariant(dbus.ObjectPath("/org/freedesktop/DBus")),
		dbus.FieldInterface: dbus.MakeVariant("org.freedesktop.DBus"),
		dbus.FieldMember:    dbus.MakeVariant("NameOwnerChanged"),
		dbus.FieldSender:    dbus.MakeVariant(sender),
		dbus.FieldSignature: dbus.MakeVariant(dbus.SignatureOf(body...)),
	}, Body: body})
}

func replyTo(call *dbus.Message, body ...any) *dbus.Message {
	reply := &dbus.Message{Type: dbus.TypeMethodReply, Body: body, Headers: map[dbus.HeaderField]dbus.Variant{
		dbus.FieldReplySerial: dbus.MakeVariant(call.Serial()),
		dbus.FieldSender:      dbus.MakeVariant("org.freedesktop.DBus"),
	}}
	if len(body) > 0 {
		reply.Headers[dbus.FieldSignature] = dbus.MakeVariant(dbus.SignatureOf(body...))
	}
	return reply
}

func errorTo(call *dbus.Message, name string) *dbus.Message {
	reply := replyTo(call, "text")
	reply.Type = dbus.TypeError
	reply.Headers[dbus.FieldErrorName] = dbus.MakeVariant(name)
	return reply
}

// runCallers runs a Callers until the test ends, and returns how to end it and wait before.
func runCallers(t *testing.T, client *dbus.Conn, config access.CallersConfig) (callers *access.Callers, stop func() error) {
	t.Helper()
	callers = access.NewCallers(client, config)
	return callers, run(t, callers)
}

// run runs callers until the test ends, and returns how to end it and wait before.
func run(t *testing.T, callers *access.Callers) (stop func() error) {
	t.Helper()
	ctx, cancel := contextWithCancel(t)
	ended := make(chan error, 1)
	go func() { ended <- callers.Run(ctx) }()
	var once sync.Once
	var result error
	stop = func() error {
		once.Do(func() {
			cancel()
			result = within(t, ended)
		})
		return result
	}
	t.Cleanup(func() { _ = stop() })
	return stop
}

// lookup waits for the outcome of a lookup.
func lookup(t *testing.T, callers *access.Callers, name string) (*access.Caller, error) {
	t.Helper()
	for range 10 {
		ready := make(chan struct{})
		caller, err := callers.Lookup(name, func() { close(ready) })
		if err != access.ErrPending {
			return caller, err
		}
		within(t, ready)
	}
	t.Fatalf("lookup of %q does not end", name)
	return nil, nil
}

// within receives, or fails the test after a while.
func within[T any](t *testing.T, from <-chan T) (value T) {
	t.Helper()
	select {
	case value = <-from:
	case <-time.After(10 * time.Second):
		t.Fatal("nothing came in 10 s")
	}
	return value
}
