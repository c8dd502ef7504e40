package qmptest

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
)

// Descriptors are those that a fake has by name and in sets, and does with as QEMU does. [NewDescriptors] makes them. Whoever has them may
// have several connections.
type Descriptors struct {
	mu    sync.Mutex // guards what follows
	names map[string]*os.File
	sets  map[int64][]member
	last  int64
}

// member is a descriptor in a set.
type member struct {
	fd     int64 // the number of it
	opaque string
	file   *os.File
}

// NewDescriptors makes none.
func NewDescriptors() *Descriptors {
	return &Descriptors{names: map[string]*os.File{}, sets: map[int64][]member{}}
}

// Keeps are the commands that Handle answers as QEMU does. Of those that take a descriptor by its name add_client stands for all.
var Keeps = []string{"getfd", "closefd", "add-fd", "remove-fd", "query-fdsets", "add_client"}

// Handle is a Handler of those commands.
func (d *Descriptors) Handle(_ *QEMU, r *Request) {
	if result, refused := d.Execute(r); refused != "" {
		r.Fail("GenericError", refused)
	} else {
		r.Return(result)
	}
}

// Execute is Handle that does not answer: the result, or why there is none.
func (d *Descriptors) Execute(r *Request) (result, refused string) {
	var a struct {
		Name   string `json:"fdname"`
		ID     int64  `json:"fdset-id"`
		FD     *int64 `json:"fd"`
		Opaque string `json:"opaque"`
	}
	if err := json.Unmarshal(r.Arguments, &a); err != nil && r.Arguments != nil {
		return "", err.Error()
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	switch r.Name {
	case "getfd":
		d.close(a.Name)
		d.names[a.Name] = r.Files[0]
	case "closefd", "add_client":
		if !d.close(a.Name) {
			return "", fmt.Sprintf("File descriptor named '%s' not found", a.Name)
		}
	case "add-fd":
		d.last++
		d.sets[a.ID] = append(d.sets[a.ID], member{d.last, a.Opaque, r.Files[0]})
		return fmt.Sprintf(`{"fdset-id":%d,"fd":%d}`, a.ID, d.last), ""
	case "remove-fd":
		if !d.remove(a.ID, a.FD) {
			return "", "File descriptor named 'x' not found"
		}
	case "query-fdsets":
		return d.fdsets(), ""
	}
	return "{}", ""
}

// close closes one of that name, false if there is none.
func (d *Descriptors) close(name string) bool {
	file := d.names[name]
	if file == nil {
		return false
	}
	file.Close()
	delete(d.names, name)
	return true
}

// remove removes one of a set, or all; false if there is none.
func (d *Descriptors) remove(id int64, fd *int64) (found bool) {
	d.sets[id] = slices.DeleteFunc(d.sets[id], func(m member) bool {
		if fd != nil && *fd != m.fd {
			return false
		}
		found = true
		m.file.Close()
		return true
	})
	if len(d.sets[id]) == 0 {
		delete(d.sets, id)
	}
	return found
}

// fdsets is what query-fdsets tells.
func (d *Descriptors) fdsets() string {
	var sets []string
	for id, set := range d.sets {
		var fds []string
		for _, m := range set {
			fds = append(fds, fmt.Sprintf(`{"fd":%d,"opaque":%q}`, m.fd, m.opaque))
		}
		sets = append(sets, fmt.Sprintf(`{"fdset-id":%d,"fds":[%s]}`, id, strings.Join(fds, ",")))
	}
	return "[" + strings.Join(sets, ",") + "]"
}

// AddForeign puts a descriptor into a set, in front, as another client of QEMU's might have.
func (d *Descriptors) AddForeign(tb testing.TB, id int64) {
	tb.Helper()
	file, err := os.Open(os.DevNull)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { file.Close() })
	d.mu.Lock()
	defer d.mu.Unlock()
	d.last++
	d.sets[id] = append([]member{{d.last, "", file}}, d.sets[id]...)
}

// Count tells how many there are, by name and in sets.
func (d *Descriptors) Count() (names, inSets int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, set := range d.sets {
		inSets += len(set)
	}
	return len(d.names), inSets
}

// Last is the number of the one that was added to a set last.
func (d *Descriptors) Last() int64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.last
}
