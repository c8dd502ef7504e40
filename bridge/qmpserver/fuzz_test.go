package qmpserver_test

import (
	"errors"
	"io"
	"net"
	"testing"

	"github.com/go-json-experiment/json/jsontext"

	"qmp-dbus-bridge/bridge/qmpserver"
)

// FuzzRequests sends any bytes: nothing panics or is stuck, and what comes out as a command has a valid id and valid
// arguments on one line.
func FuzzRequests(f *testing.F) {
	for _, seed := range []string{
		"", "{", "}", `{"execute":"a"}`, `{"execute":"a","arguments":{"b":[1,{}]},"id":{"c":"d\u0041"}}`, "[[[]]]", "{\"execute\":\"\n",
		`{"execute":"a","id":1e999}`, `{"execute":"qmp_capabilities","arguments":{"enable":["oob"]}}`, "{\xff}\n{}", `{"id":"\ud800","execute":"x"}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		server, fd, err := qmpserver.Pair(200)
		if err != nil {
			t.Fatal(err)
		}
		defer server.Close()
		c := newClientOf(t, fd)
		defer c.conn.Close()
		go func() { _, _ = io.Copy(io.Discard, c.conn) }() // ends with the connection
		go func() {
			c.send(agree + "\n")
			_, _ = c.conn.Write(text) // the server may be past its end
			_ = c.conn.CloseWrite()
		}()
		for {
			r, err := server.Next()
			if errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed) {
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			for name, v := range map[string]jsontext.Value{"id": r.ID, "arguments": r.Arguments} {
				if v != nil && !v.IsValid() {
					t.Errorf("%s %q", name, v)
				}
			}
		}
	})
}
