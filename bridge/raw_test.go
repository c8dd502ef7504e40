package bridge_test

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

	"qmp-dbus-bridge/e2e/rig"
)

// rawConn is a client that decides on the bytes that it sends and when it reads.
type rawConn struct {
	net.Conn
	in     *bufio.Reader
	order  binary.ByteOrder
	serial uint32
}

// dialRaw connects and says Hello.
func dialRaw(tb testing.TB, address string) *rawConn {
	tb.Helper()
	conn, err := net.Dial("unix", strings.TrimPrefix(address, "unix:path="))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { conn.Close() })
	r := &rawConn{Conn: conn, in: bufio.NewReader(conn), order: binary.LittleEndian}
	_, err = fmt.Fprintf(conn, "\x00AUTH EXTERNAL %s\r\nBEGIN\r\n", hex.EncodeToString(fmt.Append(nil, os.Geteuid())))
	if err != nil {
		tb.Fatal(err)
	}
	if line, err := r.in.ReadString('\n'); err != nil || !strings.HasPrefix(line, "OK") {
		tb.Fatalf("authentication: %q, %v", line, err)
	}
	r.send(tb, callMessage("/org/freedesktop/DBus", "org.freedesktop.DBus", "Hello", "org.freedesktop.DBus"))
	r.reply(tb)
	return r
}

// callMessage is a method call; an empty interface is left out.
func callMessage(path dbus.ObjectPath, iface, member, destination string, args ...any) dbus.Message {
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

// encode gives the bytes of m with the next serial, in the connection's byte order.
func (r *rawConn) encode(tb testing.TB, m dbus.Message) []byte {
	tb.Helper()
	var b bytes.Buffer
	if err := m.EncodeTo(&b, r.order); err != nil {
		tb.Fatal(err)
	}
	r.serial++
	r.order.PutUint32(b.Bytes()[8:], r.serial)
	return b.Bytes()
}

func (r *rawConn) send(tb testing.TB, m dbus.Message) {
	tb.Helper()
	if _, err := r.Write(r.encode(tb, m)); err != nil {
		tb.Fatal(err)
	}
}

// reply reads up to the reply to what was sent last.
func (r *rawConn) reply(tb testing.TB) *dbus.Message {
	tb.Helper()
	m := r.read(tb, rig.Timeout)
	for m != nil && m.Headers[dbus.FieldReplySerial].Value() != r.serial {
		m = r.read(tb, rig.Timeout)
	}
	if m == nil {
		tb.Fatal("no reply came")
	}
	return m
}

// read reads a message; nil if none comes within patience.
func (r *rawConn) read(tb testing.TB, patience time.Duration) *dbus.Message {
	tb.Helper()
	if err := r.SetReadDeadline(time.Now().Add(patience)); err != nil {
		tb.Fatal(err)
	}
	m, err := dbus.DecodeMessage(r.in)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return nil
	}
	if err != nil {
		tb.Fatal(err)
	}
	return m
}
