package bridge_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"net"
	"testing"

	"github.com/godbus/dbus/v5"

	"qmp-dbus-bridge/e2e/rig"
	"qmp-dbus-bridge/qmp"
	"qmp-dbus-bridge/qmp/qmptest"
)

// BenchmarkGet reads a property through a real dbus-daemon, which takes most of the time. The
// client and the fake QEMU allocate nothing for a call, so allocs/op are the bridge's.
func BenchmarkGet(b *testing.B) {
	roundTrips(b, (&machine{path: answerer(b)}).dial, rig.CallMessage(busName, vmPath, propsIf, "Get", busName, "Status"))
}

// BenchmarkCall is BenchmarkGet for a command that is forwarded.
func BenchmarkCall(b *testing.B) {
	roundTrips(b, (&machine{path: answerer(b)}).dial, rig.CallMessage(busName, qmpPath, "org.qemu.VM1.QMP", "Call", "query-name", none))
}

func roundTrips(b *testing.B, dial func(context.Context, qmp.Options) (*qmp.Conn, error), message dbus.Message) {
	w := newWorld(b, dial)
	w.audit = openAudit(b, "none")
	w.join()
	w.run()
	raw := rig.DialRaw(b, admin, w.bus.Address)
	raw.Send(b, message)
	if reply := raw.Reply(b); reply.Type != dbus.TypeMethodReply {
		b.Fatalf("%v", reply)
	}
	request := raw.Encode(b, message)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := raw.Write(request); err != nil {
			b.Fatal(err)
		}
		if err := skipMessage(raw.In); err != nil {
			b.Fatal(err)
		}
	}
}

// skipMessage reads past one little-endian message.
func skipMessage(in *bufio.Reader) error {
	head, err := in.Peek(16)
	if err != nil {
		return err
	}
	body, fields := binary.LittleEndian.Uint32(head[4:]), binary.LittleEndian.Uint32(head[12:])
	_, err = in.Discard(16 + int((fields+7)/8*8+body))
	return err
}

// answerer is a QEMU that answers one command at a time, without allocating.
func answerer(b *testing.B) (path string) {
	b.Helper()
	path = b.TempDir() + "/qmp"
	listener, err := net.Listen("unix", path)
	if err != nil {
		b.Fatal(err)
	}
	done := make(chan struct{})
	b.Cleanup(func() {
		listener.Close()
		<-done
	})
	go func() {
		defer close(done)
		if conn, err := listener.Accept(); err == nil {
			defer conn.Close()
			answerAll(conn)
		}
	}()
	return path
}

func answerAll(conn net.Conn) {
	schema, status, other := []byte(`{"return": []`), []byte(`{"return": `+running), []byte(`{"return": {}`)
	var out []byte
	if _, err := io.WriteString(conn, qmptest.Greeting+"\r\n"); err != nil {
		return
	}
	for in := bufio.NewReader(conn); ; {
		line, err := in.ReadSlice('\n')
		if err != nil {
			return
		}
		answer := other
		switch {
		case bytes.Contains(line, []byte("query-qmp-schema")):
			answer = schema
		case bytes.Contains(line, []byte("query-status")):
			answer = status
		}
		out = append(out[:0], answer...)
		if id := bytes.LastIndex(line, []byte(`,"id":`)); id >= 0 {
			out = append(out, bytes.TrimSpace(line[id:])...) // with the end of the object
		} else {
			out = append(out, '}')
		}
		if _, err := conn.Write(append(out, "\r\n"...)); err != nil {
			return
		}
	}
}
