package bridge_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"qmp-dbus-bridge/qmp/qmptest"
)

// screen is the part of a fake QEMU that takes screenshots.
type screen struct {
	tb testing.TB

	mu    sync.Mutex // guards what follows
	sets  map[int]*os.File
	named map[int]string // the opaques
	shows string         // what is written
}

// picture1 are two pixels, red and blue.
const picture1 = "P6\n2 1\n255\n\xff\x00\x00\x00\x00\xff"

// newScreen gives m one.
func newScreen(m *machine) *screen {
	s := &screen{tb: m.tb, sets: map[int]*os.File{}, named: map[int]string{}, shows: picture1}
	m.answer("query-qmp-schema", schemaOf(m.tb, []string{"balloon", "query-name", "screendump", "send-key"}, []string{"RESUME", "STOP"}))
	m.script("add-fd", s.add)
	m.script("screendump", s.dump)
	m.script("remove-fd", s.remove)
	m.script("query-fdsets", s.query)
	return s
}

func (s *screen) show(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.shows = text
}

func (s *screen) add(_ *qmptest.QEMU, r *qmptest.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var arguments struct {
		ID     int `json:"fdset-id"`
		Opaque string
	}
	if err := json.Unmarshal(r.Arguments, &arguments); err != nil {
		s.tb.Error(err)
	}
	id := arguments.ID
	if len(r.Files) != 1 {
		s.tb.Errorf("%d descriptors with add-fd", len(r.Files))
		return
	}
	s.sets[id], s.named[id] = r.Files[0], arguments.Opaque
	r.Return(fmt.Sprintf(`{"fdset-id": %d, "fd": 11}`, id))
}

// query answers with all sets, in order.
func (s *screen) query(_ *qmptest.QEMU, r *qmptest.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []string
	for _, id := range slices.Sorted(maps.Keys(s.sets)) {
		all = append(all, fmt.Sprintf(`{"fdset-id": %d, "fds": [{"fd": 11, "opaque": %q}]}`, id, s.named[id]))
	}
	r.Return("[" + strings.Join(all, ",") + "]")
}

// set is the one that a request names.
func (s *screen) set(r *qmptest.Request) (id int, file *os.File) {
	var arguments struct {
		Filename string
		ID       int `json:"fdset-id"`
	}
	if err := json.Unmarshal(r.Arguments, &arguments); err != nil {
		s.tb.Error(err)
	}
	id = arguments.ID
	if name, ok := strings.CutPrefix(arguments.Filename, "/dev/fdset/"); ok {
		id, _ = strconv.Atoi(name)
	}
	return id, s.sets[id]
}

// dump does as QEMU does: it wants a descriptor that is only for writing, truncates the file and writes on where it was.
func (s *screen) dump(_ *qmptest.QEMU, r *qmptest.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, file := s.set(r)
	if file == nil {
		r.Fail("GenericError", "failed to open file: No such file or directory")
		return
	}
	mode, err := unix.FcntlInt(file.Fd(), unix.F_GETFL, 0)
	if err != nil || mode&unix.O_ACCMODE != unix.O_WRONLY {
		s.tb.Errorf("the descriptor has mode %#x, %v", mode, err)
	}
	if err := file.Truncate(0); err != nil {
		s.tb.Error(err)
	}
	if size, sparse := strings.CutPrefix(s.shows, "sparse "); sparse {
		n, _ := strconv.ParseInt(size, 10, 64)
		err = file.Truncate(n)
	} else {
		_, err = file.WriteString(s.shows)
	}
	if err != nil {
		s.tb.Error(err)
	}
	r.Return("{}")
}

func (s *screen) remove(_ *qmptest.QEMU, r *qmptest.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	id, file := s.set(r)
	if file == nil {
		r.Fail("GenericError", "File descriptor named 'fdset-id:N' not found")
		return
	}
	file.Close()
	delete(s.sets, id)
	r.Return("{}")
}
