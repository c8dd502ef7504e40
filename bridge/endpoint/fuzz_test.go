package endpoint_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"

	"qmp-dbus-bridge/bridge/endpoint"
	"qmp-dbus-bridge/schema/wire"
)

// FuzzSASL has a bus say anything from the beginning on: Open ends, well or not, as
// soon as the bus has gone.
func FuzzSASL(f *testing.F) {
	reply := hello(&bus{TB: f})
	for _, said := range []string{
		"", "\r\n", "REJECTED EXTERNAL\r\n", "DATA\r\n", authOK, authOK + "ERROR\r\n", authOK + "AGREE_UNIX_FD\r\n",
		authOK + "AGREE_UNIX_FD\r\n" + reply, "OK\r\nAGREE_UNIX_FD\r\n" + reply + reply,
		strings.Repeat("x", 17<<10),
	} {
		f.Add([]byte(said))
	}
	f.Fuzz(func(t *testing.T, said []byte) {
		b, ours := newBus(t)
		b.write(string(said))
		var saying sync.WaitGroup
		saying.Go(b.hangUp)
		c, err := endpoint.Open(t.Context(), ours, quiet)
		if errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		if err == nil {
			c.Close()
		}
		saying.Wait()
	})
}

// FuzzStream has a bus send anything after the handshake: Serve ends when the bus has
// gone, and what we sent were valid messages.
func FuzzStream(f *testing.F) {
	b := &bus{TB: f}
	for _, h := range []wire.Header{textCall(caller, "Echo"), call(caller, "Echo"), textCall(another, "Later"), nameLost(driver), nameLost(caller)} {
		fill := text("x")
		if h.Signature == "" {
			fill = nil
		}
		message, _ := b.encode(h, fill, 0)
		f.Add([]byte(message))
		f.Add([]byte(message + message[:30]))
		f.Add([]byte(message + message))
		withFD, _ := b.encode(h, fill, 1)
		f.Add([]byte(withFD))
	}
	f.Add([]byte(bigEndianCall(1, "big")))
	f.Add([]byte("l\x01\x00\x01\x00\x00\x50\x00\x01\x00\x00\x00\x10\x00\x00\x00"))
	f.Add([]byte("l\x01\x00\x01\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00\x50\x00"))
	f.Fuzz(func(t *testing.T, said []byte) {
		c, b := newConn(t)
		wake := make(chan string, 1)
		ended := serve(t, c, handler(func(call *endpoint.Call) endpoint.Verdict {
			if call.Member == "Later" && len(wake) == 0 {
				wake <- call.Sender
				return endpoint.Later
			}
			return echo(call)
		}))
		b.write(string(said))
		select {
		case sender := <-wake:
			wake <- sender
			c.Wake(sender)
		default:
		}
		b.hangUp()
		if err := receive(t, ended); err == nil {
			t.Error("Serve = nil")
		}
		c.Close()
		for b.tryRead(patience) == nil {
		}
		for ok := true; ok; _, ok = b.cut() { // fails unless what we sent is valid
		}
	})
}
