package rig_test

import (
	"bufio"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"qmp-dbus-bridge/e2e/rig"
)

// TestRelay sends a descriptor by a cable, and has it cut between a command and its answer.
func TestRelay(t *testing.T) {
	path := filepath.Join(rig.TempDir(t), "monitor")
	monitor, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer monitor.Close()
	cable := rig.Relay(t, path)
	client, server := ends(t, cable, monitor)
	passPipe(t, client, server)
	cable.CutAt(t, "second", func() { untilCut(t, client, server) })
	if rest, err := io.ReadAll(client); len(rest) > 0 {
		t.Errorf("after the command came %q, %v", rest, err)
	}
	client, server = ends(t, cable, monitor)
	if _, err := io.WriteString(server, "again"); err != nil {
		t.Error(err)
	}
	said := make([]byte, 100)
	if n, err := client.Read(said); string(said[:n]) != "again" {
		t.Errorf("by the next connection came %q, %v", said[:n], err)
	}
}

// ends connects to a monitor by a cable, and gives both ends.
func ends(t *testing.T, cable *rig.Cable, monitor net.Listener) (client, server *net.UnixConn) {
	t.Helper()
	conn, err := net.Dial("unix", cable.Path)
	if err != nil {
		t.Fatal(err)
	}
	accepted, err := monitor.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		conn.Close()
		accepted.Close()
	})
	return conn.(*net.UnixConn), accepted.(*net.UnixConn)
}

// passPipe sends one end of a pipe along with a line, and reads at the other what is written into it.
func passPipe(t *testing.T, client, server *net.UnixConn) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, _, err := client.WriteMsgUnix([]byte("take this\n"), unix.UnixRights(int(w.Fd())), nil); err != nil {
		t.Fatal(err)
	}
	w.Close()
	said, rights := make([]byte, 100), make([]byte, unix.CmsgSpace(4))
	n, m, _, _, err := server.ReadMsgUnix(said, rights)
	if err != nil || string(said[:n]) != "take this\n" {
		t.Fatalf("it came as %q, %v", said[:n], err)
	}
	messages, err := unix.ParseSocketControlMessage(rights[:m])
	if err != nil || len(messages) != 1 {
		t.Fatalf("%d control messages, %v", len(messages), err)
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(fds) != 1 {
		t.Fatalf("descriptors %v, %v", fds, err)
	}
	if _, err := unix.Write(fds[0], []byte("through")); err != nil {
		t.Error(err)
	}
	unix.Close(fds[0])
	if got, err := io.ReadAll(r); string(got) != "through" || err != nil { // to the end, so nobody else has the other end open
		t.Errorf("by the descriptor came %q, %v", got, err)
	}
}

// untilCut has an event and the answer to the first command come through. The answer to the second is given, and does not.
func untilCut(t *testing.T, client, server *net.UnixConn) {
	t.Helper()
	if _, err := io.WriteString(server, `{"event": "FIRST"}`+"\n"); err != nil { // is not held back
		t.Error(err)
	}
	answers := bufio.NewReader(client)
	if line, err := answers.ReadString('\n'); !strings.Contains(line, "FIRST") {
		t.Errorf("before the command came %q, %v", line, err)
	}
	said := make([]byte, 100)
	for _, command := range []string{"first", "second"} {
		if _, err := io.WriteString(client, `{"execute": "`+command+`"}`+"\n"); err != nil {
			t.Error(err)
		}
		if n, err := server.Read(said); !strings.Contains(string(said[:n]), command) {
			t.Errorf("the monitor got %q, %v", said[:n], err)
		}
		if _, err := io.WriteString(server, `{"return": {}}`+"\n"); err != nil {
			t.Error(err)
		}
		if command == "first" {
			if line, err := answers.ReadString('\n'); !strings.Contains(line, "return") {
				t.Errorf("%s was answered %q, %v", command, line, err)
			}
		}
	}
}
