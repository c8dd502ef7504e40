package qmp_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"qmp-dbus-bridge/qmp"
	"qmp-dbus-bridge/qmp/fdtest"
	"qmp-dbus-bridge/qmp/qmptest"
)

func TestHandshake(t *testing.T) {
	tests := []struct {
		name, greeting string
		oob            bool
		version, pkg   string
		line           string // of the capabilities
	}{
		{
			"7.2", qmptest.Greeting, true, "7.2.22", "Debian 1:7.2+dfsg-7+deb12u18+b3",
			`{"execute":"qmp_capabilities","arguments":{"enable":["oob"]}}`,
		},
		{
			"without oob",
			`{"QMP": {"version": {"qemu": {"micro": 1, "minor": 0, "major": 10}, "package": ""}, "capabilities": []}}`,
			false, "10.0.1", "", `{"execute":"qmp_capabilities"}`,
		},
		{
			"with more", `{"new": 1, "QMP": {"capabilities": ["x", "oob", "y"], "build": [{}], "version": {"x": null, "qemu": {"major": 12, "minor": 3, "micro": 4}}}}`,
			true, "12.3.4", "", `{"execute":"qmp_capabilities","arguments":{"enable":["oob"]}}`,
		},
		{"bare", `{"QMP": {}}`, false, "0.0.0", "", `{"execute":"qmp_capabilities"}`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			fdtest.Check(t)
			events := make(chan string, 2)
			options := qmp.Options{OnEvent: func(e qmp.Event) { events <- e.Name }}
			_, s := qmptest.Start(t, qmptest.Options{Greeting: test.greeting, Capabilities: true},
				func(q *qmptest.QEMU, r *qmptest.Request) {
					if r.Line != test.line {
						t.Errorf("request %s, want %s", r.Line, test.line)
					}
					q.Event("BEFORE", "") // may overtake the answer
					r.Return("{}")
					q.Event("AFTER", "")
				})
			c, err := qmp.Open(context.Background(), s, options)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if c.OOB() != test.oob || c.Version().String() != test.version || c.Version().Package != test.pkg {
				t.Errorf("OOB %v, version %v, package %q", c.OOB(), c.Version(), c.Version().Package)
			}
			if got := receive(t, events) + receive(t, events); got != "BEFOREAFTER" {
				t.Errorf("events %s", got)
			}
		})
	}
}

func TestHandshakeErrors(t *testing.T) {
	tests := []struct {
		name, greeting, answer, want string
	}{
		{"not JSON", "SSH-2.0-OpenSSH_9.2", "", "greeting is not QMP: "},
		{"another protocol", `{"hello": 1}`, "", "greeting is not QMP's"},
		{"not an object", `["QMP"]`, "", "want a JSON object, got ["},
		{"greeting not an object", `{"QMP": 7}`, "", "want a JSON object, got number"},
		{"capabilities not a list", `{"QMP": {"capabilities": {}}}`, "", "want a JSON array, got {"},
		{"version not a number", `{"QMP": {"version": {"qemu": {"major": "7"}}}}`, "", "kind number, got string"},
		{"pretty", "{\r\n    \"QMP\": {", "", "pretty=on"},
		{"too long", `{"QMP": "` + strings.Repeat("x", 5000), "", "line of more than 1000 bytes"},
		{"refused", qmptest.Greeting, `{"error": {"class": "CommandNotFound", "desc": "no"}}`, "qmp_capabilities: CommandNotFound: no"},
		{"garbage", qmptest.Greeting, "garbage", "qmp_capabilities: not QMP: "},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			fdtest.Check(t)
			_, s := qmptest.Start(t, qmptest.Options{Greeting: test.greeting, Capabilities: true},
				func(q *qmptest.QEMU, _ *qmptest.Request) { q.Send(test.answer + "\r\n") })
			_, err := qmp.Open(context.Background(), s, qmp.Options{MaxLine: 1000})
			if err == nil || !strings.HasPrefix(err.Error(), "handshake: ") || !strings.Contains(err.Error(), test.want) {
				t.Errorf("Open = %v, want %q", err, test.want)
			}
		})
	}
}

// TestGreetingLimit has a greeting as long as it may be, and one byte longer: it is kept, so it is not let grow as other
// lines are.
func TestGreetingLimit(t *testing.T) {
	const most = 4096
	for length, want := range map[int]string{most: "", most + 1: "handshake: read greeting: line of more than 4096 bytes"} {
		t.Run(fmt.Sprint(length), func(t *testing.T) {
			fdtest.Check(t)
			greeting := `{"QMP": {"version": {"qemu": {"micro": 1, "minor": 0, "major": 10}, "package": "%s"}, "capabilities": []}}`
			pkg := strings.Repeat("x", length-len(greeting)+len("%s"))
			_, s := qmptest.Start(t, qmptest.Options{Greeting: fmt.Sprintf(greeting, pkg)}, qmptest.Answers{"long": `"` + pkg + pkg + `"`}.Handle)
			c, err := qmp.Open(t.Context(), s, qmp.Options{})
			if want != "" {
				if err == nil || err.Error() != want {
					t.Errorf("Open = %v, want %s", err, want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if got := c.Version().Package; got != pkg {
				t.Errorf("the package has %d bytes, want %d", len(got), len(pkg))
			}
			if _, err := c.Execute(t.Context(), qmp.Command{Name: "long"}); err != nil {
				t.Errorf("a longer reply: %v", err)
			}
		})
	}
}

func TestHandshakeEnd(t *testing.T) {
	fdtest.Check(t)
	_, s := qmptest.Start(t, qmptest.Options{Capabilities: true},
		func(q *qmptest.QEMU, _ *qmptest.Request) { q.Hangup() })
	if _, err := qmp.Open(context.Background(), s, qmp.Options{}); !errors.Is(err, io.EOF) {
		t.Errorf("Open = %v, want EOF", err)
	}
	q, s := qmptest.Start(t, qmptest.Options{Silent: true}, nil)
	q.Send(`{"QMP": `)
	q.Hangup()
	_, err := qmp.Open(context.Background(), s, qmp.Options{})
	if !errors.Is(err, io.ErrUnexpectedEOF) || err.Error() != "handshake: read greeting: unexpected EOF" {
		t.Errorf("Open = %v, want unexpected EOF", err)
	}
}

// Half a greeting is not the silence of a busy monitor.
func TestSilentMonitor(t *testing.T) {
	for _, sent := range []string{"", `{"QM`} {
		t.Run(sent, func(t *testing.T) {
			fdtest.Check(t)
			q, s := qmptest.Start(t, qmptest.Options{Silent: true}, nil)
			q.Send(sent)
			_, err := qmp.Open(context.Background(), s, qmp.Options{GreetingTimeout: 30 * time.Millisecond})
			if errors.Is(err, qmp.ErrBusy) != (sent == "") {
				t.Errorf("Open = %v", err)
			}
			if sent == "" && err.Error() != "handshake: no greeting within 30ms: another client holds the monitor, or QEMU hangs" {
				t.Errorf("Open = %v", err)
			}
		})
	}
}

func TestSilentAfterGreeting(t *testing.T) {
	fdtest.Check(t)
	_, s := qmptest.Start(t, qmptest.Options{Capabilities: true},
		func(q *qmptest.QEMU, _ *qmptest.Request) {
			for range 100 { // noise does not prolong it
				time.Sleep(time.Millisecond)
				q.Event("NOISE", "")
			}
		})
	began := time.Now()
	_, err := qmp.Open(context.Background(), s, qmp.Options{GreetingTimeout: 50 * time.Millisecond})
	if err == nil || errors.Is(err, qmp.ErrBusy) || time.Since(began) > patience {
		t.Errorf("Open = %v", err)
	}
}

func TestHandshakeCancelled(t *testing.T) {
	fdtest.Check(t)
	_, s := qmptest.Start(t, qmptest.Options{Silent: true}, nil)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	if _, err := qmp.Open(ctx, s, qmp.Options{}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Open = %v, want context.DeadlineExceeded", err)
	}
	_, s = qmptest.Start(t, qmptest.Options{}, nil)
	gone, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := qmp.Open(gone, s, qmp.Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("Open = %v, want context.Canceled", err)
	}
}

// A context that ends after Open is of no concern to the Conn.
func TestContextEndsAfterOpen(t *testing.T) {
	fdtest.Check(t)
	_, s := qmptest.Start(t, qmptest.Options{}, qmptest.Answers{"a": "{}"}.Handle)
	ctx, cancel := context.WithCancel(context.Background())
	c, err := qmp.Open(ctx, s, qmp.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	cancel()
	if _, err := c.Execute(context.Background(), qmp.Command{Name: "a"}); err != nil {
		t.Error(err)
	}
}

func TestDialPath(t *testing.T) {
	fdtest.Check(t)
	l := qmptest.Listen(t, qmptest.Options{}, qmptest.Answers{"a": "{}"}.Handle)
	ctx := context.Background()
	options := qmp.Options{GreetingTimeout: 50 * time.Millisecond}
	c, err := qmp.Dial(ctx, qmp.Address(l.Path), options)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Execute(ctx, qmp.Command{Name: "a"}); err != nil {
		t.Error(err)
	}
	// Others are left in the backlog, and then not even there.
	for range 4 {
		_, err = qmp.Dial(ctx, qmp.Address(l.Path), options)
		if !errors.Is(err, qmp.ErrBusy) || !strings.Contains(err.Error(), l.Path) {
			t.Errorf("Dial = %v, want ErrBusy", err)
		}
	}
	c.Close()
	c, err = qmp.Dial(ctx, qmp.Address(l.Path), qmp.Options{})
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
}

func TestDialErrors(t *testing.T) {
	fdtest.Check(t)
	ctx := context.Background()
	if _, err := qmp.Dial(ctx, qmp.Address(filepath.Join(t.TempDir(), "absent")), qmp.Options{}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Dial = %v, want fs.ErrNotExist", err)
	}
	if _, err := qmp.Dial(ctx, "fd:100000", qmp.Options{}); !errors.Is(err, unix.EBADF) {
		t.Errorf("Dial = %v, want EBADF", err)
	}
}

func TestDialInherited(t *testing.T) {
	fdtest.Check(t)
	l := qmptest.Listen(t, qmptest.Options{}, qmptest.Answers{"a": "{}"}.Handle)
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Connect(fd, &unix.SockaddrUnix{Name: l.Path}); err != nil {
		t.Fatal(err)
	}
	c, err := qmp.Dial(context.Background(), qmp.Address(fmt.Sprintf("fd:%d", fd)), qmp.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Execute(context.Background(), qmp.Command{Name: "a"}); err != nil {
		t.Error(err)
	}
}

func TestAddress(t *testing.T) {
	tests := []struct {
		address   qmp.Address
		fd        int
		inherited bool
	}{
		{"fd:3", 3, true},
		{"fd:0", 0, true},
		{"fd:-1", -1, false},
		{"fd:", 0, false},
		{"fd:x", 0, false},
		{"./fd:3", 0, false},
		{"/run/qmp", 0, false},
		{"", 0, false},
	}
	for _, test := range tests {
		if fd, inherited := test.address.FD(); inherited != test.inherited || inherited && fd != test.fd {
			t.Errorf("FD of %q = %d, %v", test.address, fd, inherited)
		}
	}
}
