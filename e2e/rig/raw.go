package rig

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"
	"golang.org/x/sys/unix"
)

// Raw is a client that decides on the bytes that it sends and when it reads.
type Raw struct {
	*net.UnixConn
	In    *bufio.Reader
	Order binary.ByteOrder // of what it sends
	Name  string           // its unique name

	serial uint32
}

// DialRaw connects to the bus at address as u and says Hello. The connection ends with the test.
func DialRaw(t testing.TB, u User, address string) *Raw {
	t.Helper()
	r, err := u.Raw(address)
	if err != nil {
		t.Fatalf("uid %d at %s: %v", u.UID, address, err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

// Raw is DialRaw for what may fail; the connection is the caller's to close.
func (u User) Raw(address string) (*Raw, error) {
	conn, err := u.DialUnix(strings.TrimPrefix(address, "unix:path="))
	if err != nil {
		return nil, err
	}
	r := &Raw{UnixConn: conn, In: bufio.NewReader(conn), Order: binary.LittleEndian}
	if err := errors.Join(r.authenticate(u.UID), r.hello()); err != nil {
		conn.Close()
		return nil, err
	}
	return r, nil
}

// hello asks the bus for a unique name.
func (r *Raw) hello() error {
	m := CallMessage("org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus", "Hello")
	b, err := r.encode(m)
	if err != nil {
		return err
	}
	if _, err := r.Write(b); err != nil {
		return err
	}
	reply, err := dbus.DecodeMessage(r.In)
	if err != nil {
		return err
	}
	return dbus.Store(reply.Body, &r.Name)
}

// authenticate says who we are, and that descriptors may be passed.
func (r *Raw) authenticate(uid uint32) error {
	_, err := fmt.Fprintf(r, "\x00AUTH EXTERNAL %s\r\nNEGOTIATE_UNIX_FD\r\nBEGIN\r\n", hex.EncodeToString(fmt.Append(nil, uid)))
	if err != nil {
		return err
	}
	for _, want := range []string{"OK", "AGREE_UNIX_FD"} {
		line, err := r.In.ReadString('\n')
		if err != nil {
			return err
		}
		if !strings.HasPrefix(line, want) {
			return fmt.Errorf("authentication: %q", line)
		}
	}
	return nil
}

// CallMessage is a method call; an empty interface is left out.
func CallMessage(destination string, path dbus.ObjectPath, iface, member string, args ...any) dbus.Message {
	m := dbus.Message{
		Type: dbus.TypeMethodCall,
		Headers: map[dbus.HeaderField]dbus.Variant{
			dbus.FieldDestination: dbus.MakeVariant(destination),
			dbus.FieldPath:        dbus.MakeVariant(path),
			dbus.FieldMember:      dbus.MakeVariant(member),
		},
		Body: args,
	}
	if iface != "" {
		m.Headers[dbus.FieldInterface] = dbus.MakeVariant(iface)
	}
	if len(args) > 0 {
		m.Headers[dbus.FieldSignature] = dbus.MakeVariant(dbus.SignatureOf(args...))
	}
	return m
}

// Encode gives the bytes of m with the next serial.
func (r *Raw) Encode(t testing.TB, m dbus.Message) []byte {
	t.Helper()
	b, err := r.encode(m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func (r *Raw) encode(m dbus.Message) ([]byte, error) {
	var b bytes.Buffer
	if err := m.EncodeTo(&b, r.Order); err != nil {
		return nil, err
	}
	r.serial++
	r.Order.PutUint32(b.Bytes()[8:], r.serial)
	return b.Bytes(), nil
}

// Send sends m.
func (r *Raw) Send(t testing.TB, m dbus.Message) {
	t.Helper()
	if _, err := r.Write(r.Encode(t, m)); err != nil {
		t.Fatal(err)
	}
}

// SendFDs sends m with descriptors, whether its body refers to them or not. They stay the
// caller's. An error is the bus's end of the connection.
func (r *Raw) SendFDs(t testing.TB, m dbus.Message, fds ...int) error {
	t.Helper()
	m.Headers[dbus.FieldUnixFDs] = dbus.MakeVariant(uint32(len(fds)))
	_, _, err := r.WriteMsgUnix(r.Encode(t, m), unix.UnixRights(fds...), nil)
	return err
}

// Reply reads up to the reply to what was sent last.
func (r *Raw) Reply(t testing.TB) *dbus.Message {
	t.Helper()
	m := r.Read(t, Timeout)
	for m != nil && m.Headers[dbus.FieldReplySerial].Value() != r.serial {
		m = r.Read(t, Timeout)
	}
	if m == nil {
		t.Fatal("no reply came")
	}
	return m
}

// Read reads a message; nil if none comes within patience.
func (r *Raw) Read(t testing.TB, patience time.Duration) *dbus.Message {
	t.Helper()
	if err := r.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	m, err := dbus.DecodeMessage(r.In)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	return m
}
