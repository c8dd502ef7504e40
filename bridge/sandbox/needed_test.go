package sandbox_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"golang.org/x/sys/unix"

	"qmp-dbus-bridge/bridge/child"
	"qmp-dbus-bridge/bridge/picture"
	"qmp-dbus-bridge/bridge/qmpserver"
	"qmp-dbus-bridge/qmp/socket"
)

// peerVariable names a socket that somebody outside listens at.
const peerVariable = "SANDBOX_TEST_PEER"

// needed is what a bridge still does in the sandbox.
var needed = []act{
	{"need/connect to", func(*stage) error { return connect(os.Getenv(peerVariable)) }},
	{"need/bridge/connect to", func(*stage) error { return connect(os.Getenv(peerVariable)) }},
	{"need/bridge/connect again", func(*stage) error { return monitor(os.Getenv(peerVariable)) }},
	{"need/bridge/datagram", func(s *stage) error { return datagram(s.in("journal")) }},
	{"need/bridge/notify", func(s *stage) error {
		os.Setenv("NOTIFY_SOCKET", s.in("journal"))
		sent, err := daemon.SdNotify(false, daemon.SdNotifyReady)
		if err == nil && !sent {
			err = errors.New("not sent")
		}
		return err
	}},
	{"need/bridge/memfd", func(*stage) error { return passMemory() }},
	{"need/bridge/screenshot", func(*stage) error { return screenshot() }},
	{"need/bridge/read policy", func(s *stage) error { return open(s.in("read/file"), unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK) }},
	{"need/bridge/append", func(s *stage) error { return open(s.in("append/file"), unix.O_WRONLY|unix.O_APPEND|unix.O_CREAT) }},
	{"need/bridge/append new", func(s *stage) error { return open(s.in("append/new"), unix.O_WRONLY|unix.O_APPEND|unix.O_CREAT) }},
	{"need/bridge/remove", func(s *stage) error { return os.Remove(s.in("remove/file")) }},
	{"need/bridge/remove directory", func(s *stage) error { return os.Remove(s.in("remove")) }},
	{"need/bridge/accept", func(s *stage) error { return accept(s) }},
	{"need/bridge/unlink", func(s *stage) error { return os.Remove(s.in("unlink/door")) }},
	{"need/bridge/socket pair", func(*stage) error {
		c, client, err := qmpserver.Pair(1000)
		if err != nil {
			return err
		}
		return errors.Join(unix.Close(client), c.Close())
	}},
	{"need/bridge/wait for a socket", func(*stage) error {
		_, err := unix.Ppoll([]unix.PollFd{{Fd: 0}}, &unix.Timespec{Nsec: 1}, nil)
		return err
	}},
	{"need/bridge/threads", func(*stage) error { return manyThreads() }},
	{"need/bridge/give memory back", func(*stage) error { debug.FreeOSMemory(); return nil }},
	{"need/bridge/fault", func(*stage) error { return recoverFault() }},
	{"need/bridge/local time", func(*stage) error {
		if zone, _ := time.Now().Zone(); zone != "EST" {
			return fmt.Errorf("the time zone is %s", zone)
		}
		return nil
	}},
	{"need/bridge/end child", func(s *stage) error { return endChild(s.child) }},
	{"need/files replaced", func(s *stage) error { return replaced(s) }},
	{"lack/told", func(s *stage) error { return fmt.Errorf("%v", s.lacks) }},
	{"lack/internet", func(*stage) error { return newSocket(unix.AF_INET) }},
	{"lack/file", func(s *stage) error { return open(s.in("other/file"), unix.O_RDONLY) }},
	{"need/wait", func(*stage) error {
		newThread() // one more, for the parent to look at
		fmt.Println("ready: yes")
		_, err := io.Copy(io.Discard, os.Stdin)
		return err
	}},
}

// TestNeeded is that nothing of what a bridge does is denied.
func TestNeeded(t *testing.T) {
	listener, err := net.Listen("unix", filepath.Join(newDirectories(t), "peer"))
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	cmd := confined(t, "need/bridge", peerVariable+"="+listener.Addr().String(), "TZ=EST")
	journal, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(stageDir(cmd), "journal"), Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer journal.Close()
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v:\n%s", err, out)
	}
	for _, a := range needed {
		if strings.HasPrefix(a.name, "need/bridge/") && !strings.Contains(string(out), a.name+": ok\n") {
			t.Errorf("%s is not ok:\n%s", a.name, out)
		}
	}
}

// TestReplacedFiles is a policy file that an editor replaces, and an audit file that is
// rotated.
func TestReplacedFiles(t *testing.T) {
	cmd, in, lines := startConfined(t, "need/files replaced")
	dir := stageDir(cmd)
	for _, step := range []error{
		os.WriteFile(filepath.Join(dir, "read/file~"), []byte("new text"), 0o600),
		os.Rename(filepath.Join(dir, "read/file~"), filepath.Join(dir, "read/file")),
		os.Rename(filepath.Join(dir, "append/file"), filepath.Join(dir, "append/file.1")),
		in.Close(),
	} {
		if step != nil {
			t.Fatal(step)
		}
	}
	lines.Scan()
	if got, want := lines.Text(), "need/files replaced: ok"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
	text, err := os.ReadFile(filepath.Join(dir, "append/file"))
	if err != nil || string(text) != "appended" {
		t.Errorf("the new audit file has %q, %v", text, err)
	}
}

// TestAllThreads looks at every thread from outside.
func TestAllThreads(t *testing.T) {
	cmd, in, _ := startConfined(t, "need/wait")
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", cmd.Process.Pid))
	if err != nil || len(tasks) < 3 {
		t.Errorf("%d threads, %v", len(tasks), err)
	}
	for _, task := range tasks {
		status, err := os.ReadFile(task)
		if err != nil || !strings.Contains(string(status), "NoNewPrivs:\t1\nSeccomp:\t2\n") {
			t.Errorf("%s: %v\n%s", task, err, status)
		}
	}
	if err := in.Close(); err != nil {
		t.Error(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}

// startConfined starts a process for an act that waits for the end of its input, and returns when it is confined.
func startConfined(t *testing.T, act string) (cmd *exec.Cmd, in io.Closer, lines *bufio.Scanner) {
	t.Helper()
	cmd = confined(t, act)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines = bufio.NewScanner(out)
	if !lines.Scan() {
		t.Fatal("the process ended before it was confined")
	}
	return cmd, in, lines
}

func stageDir(cmd *exec.Cmd) string {
	for _, v := range cmd.Env {
		if dir, ok := strings.CutPrefix(v, dirVariable+"="); ok {
			return dir
		}
	}
	return ""
}

func connect(path string) error {
	conn, err := net.Dial("unix", path)
	if err == nil {
		err = conn.Close()
	}
	return err
}

// monitor connects as the bridge does to a QEMU that comes back.
func monitor(path string) error {
	conn, err := socket.Dial(context.Background(), path)
	if err != nil {
		return err
	}
	_, err = conn.PeerCredentials()
	return errors.Join(err, conn.Close())
}

// accept lets a client in, and finds out who that is.
func accept(s *stage) error {
	client, err := socket.Dial(context.Background(), s.in("unlink/door"))
	if err != nil {
		return err
	}
	fd, _, err := unix.Accept4(s.door, unix.SOCK_CLOEXEC)
	if err != nil {
		return errors.Join(err, client.Close())
	}
	conn, err := socket.New(fd)
	if err != nil {
		return errors.Join(err, client.Close())
	}
	server := qmpserver.NewConn(conn, 1000)
	_, err = server.Peer()
	server.End()
	return errors.Join(err, server.Close(), client.Close())
}

// datagram sends one as the journal's client does, from an address that the kernel chooses.
func datagram(path string) error {
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Net: "unixgram"})
	if err != nil {
		return err
	}
	defer conn.Close()
	_, _, err = conn.WriteMsgUnix([]byte("text"), nil, &net.UnixAddr{Name: path, Net: "unixgram"})
	return err
}

// passMemory makes a memory file, seals it, and passes it through a socket to itself.
func passMemory() error {
	fd, err := unix.MemfdCreate("memory", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := unix.Ftruncate(fd, 4096); err != nil {
		return err
	}
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, unix.F_SEAL_SHRINK|unix.F_SEAL_GROW); err != nil {
		return err
	}
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(pair[0])
	defer unix.Close(pair[1])
	if err := unix.Sendmsg(pair[0], []byte("x"), unix.UnixRights(fd), nil, 0); err != nil {
		return err
	}
	control := make([]byte, unix.CmsgSpace(4))
	_, n, _, _, err := unix.Recvmsg(pair[1], make([]byte, 1), control, unix.MSG_CMSG_CLOEXEC)
	if err != nil {
		return err
	}
	messages, err := unix.ParseSocketControlMessage(control[:n])
	if err != nil {
		return err
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil {
		return err
	}
	memory, err := unix.Mmap(fds[0], 0, 4096, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return err
	}
	return errors.Join(unix.Munmap(memory), unix.Close(fds[0]))
}

// screenshot makes pictures of one, as QEMU would write it.
func screenshot() error {
	file, err := picture.NewFile()
	if err != nil {
		return err
	}
	writer, err := file.Writer()
	if err != nil {
		return err
	}
	defer unix.Close(writer)
	if _, err := unix.Write(writer, []byte("P6\n1 1\n255\nabc")); err != nil {
		return err
	}
	for _, format := range picture.Formats {
		print, err := file.Print(format)
		if err != nil {
			return err
		}
		if !print.Held() {
			return errors.New("a picture that is not held")
		}
		if err := print.Close(); err != nil {
			return err
		}
	}
	return file.Close()
}

// manyThreads has the runtime start threads, grow and collect.
func manyThreads() error {
	var all sync.WaitGroup
	begin := make(chan struct{})
	for range 100 {
		all.Go(func() {
			runtime.LockOSThread() // for good: the thread ends with it
			<-begin
			time.Sleep(time.Millisecond)
			_ = make([]byte, 1<<20)
		})
	}
	close(begin)
	all.Wait()
	runtime.GC()
	return nil
}

// recoverFault has the runtime handle a fault of the program.
func recoverFault() (err error) {
	defer func() {
		if recover() == nil {
			err = errors.New("no panic")
		}
	}()
	var nowhere *stage
	_ = nowhere.dir
	return nil
}

func endChild(child *child.Child) error {
	if err := child.Signal(unix.SIGTERM); err != nil {
		return err
	}
	var exit *exec.ExitError
	if err := child.Wait(); !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != unix.SIGTERM {
		return fmt.Errorf("the child ended with %v", err)
	}
	return nil
}

// replaced waits until somebody has replaced the files, and uses the new ones.
func replaced(s *stage) error {
	fmt.Println("ready: yes")
	if _, err := io.Copy(io.Discard, os.Stdin); err != nil {
		return err
	}
	text, err := os.ReadFile(s.in("read/file"))
	if err != nil || string(text) != "new text" {
		return fmt.Errorf("the file has %q, %w", text, err)
	}
	file, err := os.OpenFile(s.in("append/file"), os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	_, err = file.WriteString("appended")
	return errors.Join(err, file.Close())
}
