package audit_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"qmp-dbus-bridge/bridge/audit"
	"qmp-dbus-bridge/e2e/rig"
)

// journalSocket is where systemd's journal takes entries (sd_journal_send(3)).
const journalSocket = "/run/systemd/journal/socket"

// TestJournal runs itself again with a /run of its own, where it is the journal: the machine's is left alone.
func TestJournal(t *testing.T) {
	if os.Getenv("ACCESS_JOURNAL") == "" {
		rig.RequireRoot(t)
		inner := exec.Command(os.Args[0], "-test.run=^TestJournal$", "-test.v")
		inner.Env = append(os.Environ(), "ACCESS_JOURNAL=1")
		inner.SysProcAttr = &syscall.SysProcAttr{Unshareflags: unix.CLONE_NEWNS, Pdeathsig: unix.SIGKILL}
		if out, err := inner.CombinedOutput(); err != nil || !strings.Contains(string(out), "--- PASS: TestJournal") {
			t.Errorf("%v\n%s", err, out)
		}
		return
	}
	if err := unix.Mount("tmpfs", "/run", "tmpfs", 0, "size=64k,mode=755"); err != nil {
		t.Fatal(err)
	}
	if _, err := audit.Open("journal", slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), "no systemd journal here") {
		t.Fatalf("without a journal: %v", err)
	}
	if err := os.MkdirAll(filepath.Dir(journalSocket), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Run("fields", testJournalFields)
	t.Run("away", testJournalAway)
	t.Run("large", testJournalLarge)
}

func listenJournal(t *testing.T) *net.UnixConn {
	t.Helper()
	if err := os.Remove(journalSocket); err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: journalSocket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetReadDeadline(time.Now().Add(rig.Timeout)); err != nil {
		t.Fatal(err)
	}
	return conn
}

// entry reads the next entry, from the datagram or the file that came instead, which byFile tells.
func entry(t *testing.T, journal *net.UnixConn) (fields map[string]string, byFile bool) {
	t.Helper()
	text, control := make([]byte, 1<<20), make([]byte, 1024)
	n, controlSize, _, _, err := journal.ReadMsgUnix(text, control)
	if err != nil {
		t.Fatal(err)
	}
	text = text[:n]
	if n == 0 {
		text, byFile = readPassed(t, control[:controlSize]), true
	}
	fields = map[string]string{}
	for line := range strings.Lines(string(text)) {
		name, value, found := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
		if !found {
			t.Fatalf("the line %q of an entry is no field: a value has a line break", line)
		}
		fields[name] = value
	}
	return fields, byFile
}

// readPassed reads the file whose descriptor came.
func readPassed(t *testing.T, control []byte) []byte {
	t.Helper()
	messages, err := unix.ParseSocketControlMessage(control)
	if err != nil || len(messages) != 1 {
		t.Fatalf("%d control messages, %v", len(messages), err)
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(fds) != 1 {
		t.Fatalf("descriptors %v, %v", fds, err)
	}
	file := os.NewFile(uintptr(fds[0]), "entry")
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		t.Fatal(err)
	}
	text := make([]byte, info.Size())
	if _, err := file.ReadAt(text, 0); err != nil {
		t.Fatal(err)
	}
	return text
}

// testJournalFields has records of all kinds arrive, with the priority, the line of JSON and the fields.
func testJournalFields(t *testing.T) {
	journal := listenJournal(t)
	trail := open(t, "journal")
	for _, tt := range []struct {
		record   audit.Record
		priority string
	}{
		{record(t, "svirt", "stop"), "6"},
		{record(t, "", "a:b"), "5"},
		{record(t, "a label", "two\nlines=\x1b[2J\xff"), "6"},
		{audit.Record{Name: ":1.6", Time: time.Now(), Result: "denied"}, "5"},
	} {
		if err := trail.Write(tt.record); err != nil {
			t.Fatal(err)
		}
		got, _ := entry(t, journal)
		want := tt.record.JournalFields()
		want["PRIORITY"] = tt.priority
		want["MESSAGE"] = strings.TrimSpace(string(tt.record.AppendJSON(nil)))
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
		if !json.Valid([]byte(got["MESSAGE"])) {
			t.Errorf("MESSAGE %q is no JSON", got["MESSAGE"])
		}
	}
	if err := trail.Reopen(); err != nil {
		t.Errorf("Reopen: %v", err)
	}
	if err := trail.Close(); err != nil {
		t.Error(err)
	}
}

// testJournalAway has the journal end and come back: what was recorded meanwhile comes then, in order, once.
func testJournalAway(t *testing.T) {
	journal := listenJournal(t)
	trail := open(t, "journal")
	write := func(from, to int) {
		for i := from; i < to; i++ {
			if err := trail.Write(audit.Record{Name: fmt.Sprintf(":1.%d", i)}); err != nil {
				t.Fatal(err)
			}
		}
	}
	read := func(from, to int) {
		for i := from; i < to; i++ {
			if got, _ := entry(t, journal); got["QMP_CALLER"] != fmt.Sprintf(":1.%d", i) {
				t.Fatalf("the record of %s came, want that of :1.%d", got["QMP_CALLER"], i)
			}
		}
	}
	write(0, 10)
	read(0, 10)
	journal.Close()
	write(10, 20)
	journal = listenJournal(t)
	write(20, 30)
	read(10, 30)
	if err := trail.Close(); err != nil {
		t.Error(err)
	}
}

// testJournalLarge has little room for a datagram, so that a large record goes by a file.
func testJournalLarge(t *testing.T) {
	journal := listenJournal(t)
	trail := open(t, "journal")
	if err := trail.Write(audit.Record{Name: ":1.5"}); err != nil {
		t.Fatal(err)
	}
	if _, byFile := entry(t, journal); byFile {
		t.Error("a small record came by a file")
	}
	shrinkDatagrams(t)
	large := record(t, strings.Repeat("\x1b", 4096), strings.Repeat("\x1b", 255))
	if err := trail.Write(large); err != nil {
		t.Fatal(err)
	}
	got, byFile := entry(t, journal)
	if want := large.JournalFields(); !byFile || got["QMP_LABEL"] != want["QMP_LABEL"] || got["QMP_ACTION"] != want["QMP_ACTION"] {
		t.Errorf("by a file %v, fields %v", byFile, got)
	}
	if err := trail.Close(); err != nil {
		t.Error(err)
	}
}

// shrinkDatagrams leaves 8 KiB for those of the sockets that send to the journal: the unnamed ones.
func shrinkDatagrams(t *testing.T) {
	t.Helper()
	found := false
	for fd := range rig.FDs(t, os.Getpid()) {
		kind, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TYPE)
		if err != nil || kind != unix.SOCK_DGRAM {
			continue
		}
		if name, err := unix.Getsockname(fd); err != nil || name.(*unix.SockaddrUnix).Name == journalSocket {
			continue
		}
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF, 8<<10); err != nil {
			t.Fatal(err)
		}
		found = true
	}
	if !found {
		t.Fatal("no socket that sends to the journal")
	}
}
