package qmptest

import (
	"bytes"
	"fmt"
	"os"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"qmp-dbus-bridge/qmp/socket"
)

// Greeting is what QEMU 7.2.22 says first.
const Greeting = `{"QMP": {"version": {"qemu": {"micro": 22, "minor": 2, "major": 7}, ` +
	`"package": "Debian 1:7.2+dfsg-7+deb12u18+b3"}, "capabilities": ["oob"]}}`

// Options make the fake differ from QEMU 7.2; the zero value does not.
type Options struct {
	Silent       bool   // say nothing, as to a client while another holds the monitor
	Greeting     string // instead of Greeting
	Capabilities bool   // give qmp_capabilities to the handler as well
}

// Handler gets the requests, one at a time. It must not wait for the next one.
type Handler func(*QEMU, *Request)

// QEMU is the fake's end of one connection. Its methods may be called from anywhere.
type QEMU struct {
	tb      testing.TB
	options Options
	handler Handler
	socket  *socket.Conn
	done    chan struct{}

	mu    sync.Mutex // guards files
	files []*os.File // that came, to be closed at the end
}

// Start gives a fake and the socket on which it can be reached, which the caller owns.
func Start(tb testing.TB, options Options, handler Handler) (*QEMU, *socket.Conn) {
	tb.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		tb.Fatal(err)
	}
	client, err := socket.New(fds[0])
	if err != nil {
		tb.Fatal(err)
	}
	server, err := socket.New(fds[1])
	if err != nil {
		tb.Fatal(err)
	}
	q := newQEMU(tb, options, handler, server)
	tb.Cleanup(q.stop)
	go q.serve()
	return q, client
}

func newQEMU(tb testing.TB, options Options, handler Handler, s *socket.Conn) *QEMU {
	if options.Greeting == "" {
		options.Greeting = Greeting
	}
	return &QEMU{tb: tb, options: options, handler: handler, socket: s, done: make(chan struct{})}
}

// Event sends an event; data is a JSON object or empty.
func (q *QEMU) Event(name, data string) {
	if data != "" {
		data = `, "data": ` + data
	}
	q.Send(fmt.Sprintf(`{"timestamp": {"seconds": 1700000000, "microseconds": 5}, "event": %q%s}`+"\r\n", name, data))
}

// Send sends any bytes. What the client does not read waits; after the end it is lost.
func (q *QEMU) Send(raw string) {
	_ = q.socket.Send([]byte(raw), nil) // a client that is gone is no fault of the fake
}

// SendFDs is Send with file descriptors, which are closed then; no QEMU sends any.
func (q *QEMU) SendFDs(raw string, fds ...int) {
	_ = q.socket.Send([]byte(raw), fds)
}

// Hangup closes the connection as if QEMU had ended; what waits is lost. The handler
// may call it.
func (q *QEMU) Hangup() { q.socket.Close() }

// Done is closed when the connection has ended on either side.
func (q *QEMU) Done() <-chan struct{} { return q.done }

// stop is Hangup that joins.
func (q *QEMU) stop() {
	q.socket.Close()
	<-q.done
}

func (q *QEMU) serve() {
	defer close(q.done)
	defer q.closeFiles()
	defer q.socket.Close()
	if !q.options.Silent {
		q.Send(q.options.Greeting + "\r\n")
	}
	var in incoming
	buf := make([]byte, 64<<10)
	for {
		n, fds, err := q.socket.Read(buf)
		if err != nil {
			return
		}
		files := q.adopt(fds)
		if !q.options.Silent {
			in.add(buf[:n], files, q.handle)
		}
	}
}

// adopt makes files of what came, to be closed at the end if not before.
func (q *QEMU) adopt(fds []int) []*os.File {
	var files []*os.File
	for _, fd := range fds {
		files = append(files, os.NewFile(uintptr(fd), "received"))
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.files = append(q.files, files...)
	return files
}

func (q *QEMU) closeFiles() {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, file := range q.files {
		file.Close()
	}
}

// incoming cuts what is read into lines.
type incoming struct {
	pending []byte
	files   []*os.File // of the line that is not complete
}

// add takes what one Read gave. The file descriptors are those of the last line that
// begins in it: a Read ends with the message that carried some.
func (in *incoming) add(b []byte, files []*os.File, line func([]byte, []*os.File)) {
	last := bytes.LastIndexByte(b[:len(b)-1], '\n') + 1
	in.cut(b[:last], line)
	in.files = append(in.files, files...)
	in.cut(b[last:], line)
}

func (in *incoming) cut(b []byte, line func([]byte, []*os.File)) {
	in.pending = append(in.pending, b...)
	for {
		end := bytes.IndexByte(in.pending, '\n')
		if end < 0 {
			return
		}
		l, files := bytes.Clone(in.pending[:end]), in.files
		in.pending, in.files = append(in.pending[:0], in.pending[end+1:]...), nil
		line(l, files)
	}
}
