package socket_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"qmp-dbus-bridge/qmp/fdtest"
	"qmp-dbus-bridge/qmp/socket"
)

// Nobody reads: all is taken and nothing waits; then all of it arrives in order.
func TestSendNeverBlocks(t *testing.T) {
	a, b := pair(t)
	const messages = 20000
	drained := make(chan bool, 1)
	a.OnDrain(func() { drained <- true })
	var want bytes.Buffer
	msg := make([]byte, 0, 300)
	for i := range messages {
		msg = binary.LittleEndian.AppendUint32(msg[:0], uint32(i))
		msg = msg[:4+i%200]
		want.Write(msg)
		if err := a.Send(msg, nil); err != nil {
			t.Fatal(err)
		}
	}
	if a.Queued() == 0 {
		t.Fatal("nothing is queued; send more")
	}
	if got, _ := readN(t, b, want.Len()); !bytes.Equal(got, want.Bytes()) {
		t.Error("what arrived is not what was sent")
	}
	<-drained
	if n := a.Queued(); n != 0 {
		t.Errorf("Queued = %d, want 0", n)
	}
}

func TestSendLarge(t *testing.T) {
	a, b := pair(t)
	want := make([]byte, 70<<20)
	for i := range want {
		want[i] = byte(i >> 10)
	}
	if err := a.Send(want, nil); err != nil {
		t.Fatal(err)
	}
	if got, _ := readN(t, b, len(want)); !bytes.Equal(got, want) {
		t.Error("what arrived is not what was sent")
	}
}

func TestSendFromManyGoroutines(t *testing.T) {
	a, b := pair(t)
	var senders sync.WaitGroup
	for s := range 4 {
		senders.Go(func() {
			for i := range 5000 {
				if err := a.Send([]byte{byte(s), byte(i), byte(i >> 8), '\n'}, nil); err != nil {
					t.Error(err)
				}
			}
		})
	}
	got, _ := readN(t, b, 4*5000*4)
	senders.Wait()
	var next [4]int
	for ; len(got) > 0; got = got[4:] {
		s, i := got[0], int(got[1])|int(got[2])<<8
		if i != next[s] || got[3] != '\n' {
			t.Fatalf("sender %d: message %d, want %d", s, i, next[s])
		}
		next[s]++
	}
}

func TestLimit(t *testing.T) {
	a, b := pair(t)
	a.SetLimit(1 << 20)
	if err := a.Send(make([]byte, 1<<20+1), nil); !errors.Is(err, socket.ErrFull) {
		t.Errorf("one message past the limit: %v, want ErrFull", err)
	}
	sent := fill(t, a)
	room := 1<<20 - a.Queued()
	if err := a.Send(make([]byte, room+1), nil); !errors.Is(err, socket.ErrFull) {
		t.Errorf("one byte past the limit: %v, want ErrFull", err)
	}
	if err := a.Send(make([]byte, room), nil); err != nil {
		t.Errorf("at the limit: %v", err)
	}
	if err := a.Send([]byte{1}, nil); !errors.Is(err, socket.ErrFull) {
		t.Errorf("past the limit: %v, want ErrFull", err)
	}
	readN(t, b, sent+room)
	if err := a.Send([]byte("still good"), nil); err != nil {
		t.Error(err)
	}
	readN(t, b, len("still good"))
}

func TestSendFDs(t *testing.T) {
	for _, queued := range []bool{false, true} {
		a, b := pair(t)
		before := 0
		if queued {
			before = fill(t, a)
		}
		w, r := fdtest.Pipe(t)
		if err := a.Send([]byte("take this"), []int{w}); err != nil {
			t.Fatal(err)
		}
		if _, fds := readN(t, b, before); len(fds) > 0 {
			t.Fatal("the file descriptor came too early")
		}
		_, fds := readN(t, b, 1)
		if len(fds) != 1 {
			t.Fatalf("%d file descriptors with the first byte, want 1", len(fds))
		}
		if flags, _ := unix.FcntlInt(uintptr(fds[0]), unix.F_GETFD, 0); flags&unix.FD_CLOEXEC == 0 {
			t.Error("the file descriptor is not close-on-exec")
		}
		unix.Close(fds[0])
		fdtest.WantClosed(t, r)
		readN(t, b, len("ake this"))
	}
}

// Messages with file descriptors keep them apart.
func TestSendFDsApart(t *testing.T) {
	a, b := pair(t)
	before := fill(t, a)
	for i := range 3 {
		w, _ := fdtest.Pipe(t)
		w2, _ := fdtest.Pipe(t)
		if err := a.Send([]byte{'a', byte('0' + i)}, []int{w, w2}[:1+i%2]); err != nil {
			t.Fatal(err)
		}
		if i%2 == 0 {
			unix.Close(w2)
		}
	}
	readN(t, b, before)
	buf := make([]byte, 100)
	for i := range 3 {
		n, fds, err := b.Read(buf)
		if err != nil || string(buf[:n]) != "a"+string(rune('0'+i)) || len(fds) != 1+i%2 {
			t.Errorf("Read = %q, %v, %v", buf[:n], fds, err)
		}
		for _, fd := range fds {
			unix.Close(fd)
		}
	}
}

func TestFDLimits(t *testing.T) {
	a, b := pair(t)
	many := func(n int) []int {
		fds := make([]int, n)
		for i := range fds {
			fd, err := unix.Open("/dev/null", unix.O_RDONLY|unix.O_CLOEXEC, 0)
			if err != nil {
				t.Fatal(err)
			}
			fds[i] = fd
		}
		return fds
	}
	if err := a.Send([]byte{1}, many(socket.MaxFDs+1)); err == nil {
		t.Error("one file descriptor too many was sent")
	}
	if err := a.Send(nil, many(1)); err == nil {
		t.Error("file descriptors were sent without a byte")
	}
	if err := a.Send([]byte{1}, many(socket.MaxFDs)); err != nil {
		t.Error(err)
	}
	_, fds := readN(t, b, 1)
	if len(fds) != socket.MaxFDs {
		t.Errorf("%d file descriptors came, want %d", len(fds), socket.MaxFDs)
	}
	for _, fd := range fds {
		unix.Close(fd)
	}
	fill(t, a)
	if err := a.Send([]byte{1}, many(socket.MaxFDs)); err != nil {
		t.Error(err)
	}
	if err := a.Send([]byte{1}, many(socket.MaxQueuedFDs-socket.MaxFDs)); err != nil {
		t.Errorf("at the limit: %v", err)
	}
	if err := a.Send([]byte{1}, many(1)); !errors.Is(err, socket.ErrFull) {
		t.Errorf("past the limit: %v, want ErrFull", err)
	}
}

func TestBadFDLeavesConnection(t *testing.T) {
	a, b := pair(t)
	w, r := fdtest.Pipe(t)
	if err := a.Send([]byte("x"), []int{w, 1 << 20}); !errors.Is(err, unix.EBADF) {
		t.Errorf("Send = %v, want EBADF", err)
	}
	fdtest.WantClosed(t, r)
	if err := a.Send([]byte("y"), nil); err != nil {
		t.Error(err)
	}
	if got, _ := readN(t, b, 1); string(got) != "y" {
		t.Errorf("got %q, want y", got)
	}
}

// More file descriptors than the process may open are an error, not a silent loss.
func TestLostFDs(t *testing.T) {
	a, b := pair(t)
	w, r := fdtest.Pipe(t)
	w2, r2 := fdtest.Pipe(t)
	if err := a.Send([]byte("x"), []int{w, w2}); err != nil {
		t.Fatal(err)
	}
	var old unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &old); err != nil {
		t.Fatal(err)
	}
	low := old
	low.Cur = uint64(lowestFree(t)) + 1
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &low); err != nil {
		t.Skip(err)
	}
	_, fds, err := b.Read(make([]byte, 1))
	if err2 := unix.Setrlimit(unix.RLIMIT_NOFILE, &old); err2 != nil {
		t.Fatal(err2)
	}
	if err == nil || fds != nil {
		t.Errorf("Read = %v, %v, want an error", fds, err)
	}
	fdtest.WantClosed(t, r)
	fdtest.WantClosed(t, r2)
}

func lowestFree(t *testing.T) int {
	t.Helper()
	f, err := os.Open("/dev/null")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	return int(f.Fd())
}

func TestCloseDiscardsQueue(t *testing.T) {
	a, _ := pair(t)
	fill(t, a)
	w, r := fdtest.Pipe(t)
	w2, r2 := fdtest.Pipe(t)
	if err := errors.Join(a.Send([]byte("x"), []int{w}), a.Send([]byte("x"), []int{w2})); err != nil {
		t.Fatal(err)
	}
	a.Close()
	fdtest.WantClosed(t, r)
	fdtest.WantClosed(t, r2)
	w3, r3 := fdtest.Pipe(t)
	if err := a.Send([]byte("x"), []int{w3}); err != net.ErrClosed {
		t.Errorf("Send after Close = %v, want net.ErrClosed", err)
	}
	fdtest.WantClosed(t, r3)
	if n := a.Queued(); n != 0 {
		t.Errorf("Queued = %d, want 0", n)
	}
}

func TestPeerGone(t *testing.T) {
	for _, queued := range []bool{false, true} {
		a, b := pair(t)
		var r *os.File
		if err := b.Send([]byte("farewell"), nil); err != nil {
			t.Fatal(err)
		}
		if queued {
			fill(t, a)
			var w int
			w, r = fdtest.Pipe(t)
			if err := a.Send([]byte("x"), []int{w}); err != nil {
				t.Fatal(err)
			}
		}
		b.Close()
		for start := time.Now(); ; {
			err := a.Send([]byte("x"), nil)
			if errors.Is(err, net.ErrClosed) {
				break
			}
			if err != nil || time.Since(start) > 5*time.Second {
				t.Fatalf("Send = %v, want net.ErrClosed", err)
			}
		}
		if queued {
			fdtest.WantClosed(t, r)
		}
		if got, _ := readN(t, a, 8); string(got) != "farewell" {
			t.Errorf("Read = %q, want farewell", got)
		}
		if _, _, err := a.Read(make([]byte, 1)); err != io.EOF && !errors.Is(err, unix.ECONNRESET) {
			t.Errorf("Read = %v, want the end", err)
		}
	}
}

// OnDrain may send, also so much that it has to be queued again.
func TestSendInOnDrain(t *testing.T) {
	a, b := pair(t)
	rounds := make(chan int, 10)
	n := 0
	a.OnDrain(func() {
		if n++; n <= 3 {
			if err := a.Send(make([]byte, 1<<20), nil); err != nil {
				t.Error(err)
			}
		}
		rounds <- n
	})
	sent := fill(t, a)
	readN(t, b, sent+3<<20)
	for want := 1; want <= 4; want++ {
		if got := <-rounds; got != want {
			t.Errorf("round %d, want %d", got, want)
		}
	}
}
