package endpoint_test

import (
	"errors"
	"io"
	"io/fs"
	"net"
	"path/filepath"
	"strings"
	"testing"

	"qmp-dbus-bridge/bridge/endpoint"
)

// A listener that hangs up tells which address was dialled: only there the stream ends.
func TestDial(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a +;%")
	abstract := "@" + filepath.Base(dir) + "/bus"
	hangUp(t, path)
	hangUp(t, abstract)
	escaped := filepath.Join(dir, "a%20+%3b%25")
	tests := []struct {
		name, address string
		is            error
	}{
		{"path", "unix:path=" + escaped, io.ErrUnexpectedEOF},
		{"with a guid", "unix:guid=00,path=" + escaped + ",guid=00", io.ErrUnexpectedEOF},
		{"second of a list", "tcp:host=localhost,port=1;unix:path=" + escaped, io.ErrUnexpectedEOF},
		{"abstract", "unix:abstract=" + abstract[1:], io.ErrUnexpectedEOF},
		{"nobody there", "unix:path=" + dir + "/none", fs.ErrNotExist},
		{"empty", "", nil},
		{"other transport", "tcp:host=localhost,port=1", nil},
		{"no socket", "unix:tmpdir=/tmp", nil},
		{"bad escape", "unix:path=/%zz", nil},
		{"empty path", "unix:path=", nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := endpoint.Dial(t.Context(), tt.address, quiet)
			if err == nil || tt.is != nil && !gone(err, tt.is) {
				t.Errorf("Dial(%q) = %v, want %v", tt.address, err, tt.is)
			}
		})
	}
}

// gone says whether err is want, or that the peer was gone even before we wrote.
func gone(err, want error) bool {
	return errors.Is(err, want) || want == io.ErrUnexpectedEOF && strings.Contains(err.Error(), "join the bus")
}

// hangUp listens at path and closes every connection.
func hangUp(t *testing.T, path string) {
	t.Helper()
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			c.Close()
		}
	}()
	t.Cleanup(func() {
		l.Close()
		<-done
	})
}
