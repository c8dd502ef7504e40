package socket_test

import (
	"testing"

	"qmp-dbus-bridge/qmp/socket"
)

// BenchmarkEcho is one round trip: two Sends, two Reads.
func BenchmarkEcho(b *testing.B) {
	client, server := pair(b)
	go echo(server)
	msg, buf := make([]byte, 100), make([]byte, 4096)
	b.ReportAllocs()
	for b.Loop() {
		if err := client.Send(msg, nil); err != nil {
			b.Fatal(err)
		}
		if _, _, err := client.Read(buf); err != nil {
			b.Fatal(err)
		}
	}
	client.Close()
}

func echo(c *socket.Conn) {
	buf := make([]byte, 4096)
	for {
		n, _, err := c.Read(buf)
		if err != nil || c.Send(buf[:n], nil) != nil {
			return
		}
	}
}

// BenchmarkStream is throughput with a reader that is slower than the sender.
func BenchmarkStream(b *testing.B) {
	client, server := pair(b)
	go func() {
		buf := make([]byte, 64<<10)
		for {
			if _, _, err := server.Read(buf); err != nil {
				return
			}
		}
	}()
	msg := make([]byte, 1000)
	b.SetBytes(int64(len(msg)))
	b.ReportAllocs()
	for b.Loop() {
		if err := client.Send(msg, nil); err != nil {
			b.Fatal(err)
		}
	}
	client.Close()
}
