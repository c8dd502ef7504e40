package qmpserver_test

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"qmp-dbus-bridge/bridge/qmpserver"
	"qmp-dbus-bridge/e2e/rig"
	"qmp-dbus-bridge/qmp"
)

// fault is an answer of class GenericError.
func fault(desc string) string {
	return fmt.Sprintf(`{"error": {"class": "GenericError", "desc": %q}}`, desc)
}

// The greeting and the negotiation are, word by word, those of QEMU 7.2.22 without the capability oob.
func TestNegotiation(t *testing.T) {
	c, server := newClient(t, echo)
	if err := server.Greet(version); err != nil {
		t.Fatal(err)
	}
	c.want(`{"QMP": {"version": {"qemu": {"micro": 22, "minor": 2, "major": 7}, "package": "Debian \"x\""}, "capabilities": []}}`)
	for _, step := range []struct{ say, want string }{
		{`{"execute":"query-status","id":1}`, `{"id": 1, "error": {"class": "CommandNotFound", "desc": "Expecting capabilities negotiation with 'qmp_capabilities'"}}`},
		{`{"execute":"qmp_capabilities","arguments":{"enable":["oob"]}}`, fault("Capability oob not available")},
		{`{"execute":"qmp_capabilities","arguments":{"enable":null}}`, fault("Invalid parameter type for 'enable', expected: array")},
		{`{"execute":"qmp_capabilities","arguments":{"enable":[null]}}`, fault("Invalid parameter type for 'enable', expected: array")},
		{`{"execute":"qmp_capabilities","arguments":{"enable":["x",1]}}`, fault("Invalid parameter type for 'enable', expected: array")},
		{`{"execute":"qmp_capabilities","arguments":{"x":1},"id":null}`, `{"id": null, "error": {"class": "GenericError", "desc": "Parameter 'x' is unexpected"}}`},
		{`{"exec-oob":"qmp_capabilities"}`, fault("QMP input member 'exec-oob' is unexpected")},
		{`{"execute":"qmp_capabilities","arguments":{"enable":[]},"id":"x"}`, `{"return": {}, "id": "x"}`},
		{`{"execute":"qmp_capabilities"}`, `{"error": {"class": "CommandNotFound", "desc": "Capabilities negotiation is already complete, command ignored"}}`},
		{`{"execute":"query-status"}`, `{"return": {"name":"query-status"}}`},
	} {
		c.send(step.say)
		c.want(step.want)
	}
}

// What is no request is answered, and what comes behind it is one again.
func TestRequests(t *testing.T) {
	c, _ := newClient(t, echo)
	c.send(agree)
	c.want(agreed)
	const again, then = `{"execute":"x"}`, `{"return": {"name":"x"}}`
	for say, want := range map[string][]string{
		`{"execute":"a","arguments":{"b":[1]},"id":7}`:                         {`{"return": {"name":"a","arguments":{"b":[1]}}, "id": 7}`},
		` {"id":{"a": [1, 2.50,"\u0041"]} ,` + "\r\n\t" + `"execute" : "a" } `: {`{"return": {"name":"a"}, "id": {"a":[1,2.50,"\u0041"]}}`},
		`{"execute":"a","id":null}{"execute":"b","id":"b"}` + "\n\n":           {`{"return": {"name":"a"}, "id": null}`, `{"return": {"name":"b"}, "id": "b"}`},
		`{"execute":"a","id":"}\"\\"}`:                                         {`{"return": {"name":"a"}, "id": "}\"\\"}`},
		`{"execute":"\u0061"}`:                                                 {`{"return": {"name":"a"}}`},
		`[{"execute":"a"}]`:                                                    {fault("QMP input must be a JSON object")},
		"3\n":                                                                  {fault("QMP input must be a JSON object")},
		`"x" {}` + "\n":                                                        {fault("QMP input must be a JSON object")},
		"}\n":                                                                  {fault("QMP input must be a JSON object")},
		"\xff\n":                                                               {fault("QMP input must be a JSON object")},
		`{"execute":3,"id":7}`:                                                 {`{"id": 7, "error": {"class": "GenericError", "desc": "QMP input member 'execute' must be a string"}}`},
		`{"id":7}`:                                                             {`{"id": 7, "error": {"class": "GenericError", "desc": "QMP input lacks member 'execute'"}}`},
		`{}`:                                                                   {fault("QMP input lacks member 'execute'")},
		`{"execute":"a","foo":1,"id":8}`:                                       {`{"id": 8, "error": {"class": "GenericError", "desc": "QMP input member 'foo' is unexpected"}}`},
		`{"execute":"a","exec-oob":"b","id":8}`:                                {`{"id": 8, "error": {"class": "GenericError", "desc": "QMP input member 'exec-oob' is unexpected"}}`},
		`{"execute":"a","arguments":[]}`:                                       {fault("QMP input member 'arguments' must be an object")},
		`{"execute" "a"}`:                                                      {fault(`JSON parse error, invalid character '"' after object name (expecting ':') at byte 11`)},
		`{"execute":"a","execute":"b"}`:                                        {fault("JSON parse error, duplicate object member name at byte 15")},
		`{"execute":"a",}`:                                                     {fault("JSON parse error, invalid character ',' at start of value at byte 14")},
		`{"execute":"a","id":tru}`:                                             {fault("JSON parse error, invalid character '}' in literal true (expecting 'e') at byte 23")},
		`{"execute":"a","id":"` + "\xff" + `"}`:                                {fault("JSON parse error, invalid UTF-8 at byte 21")},
		`{"execute":"a","id":"\ud800"}`:                                        {fault("JSON parse error, invalid surrogate pair `\\ud800\"}` in string at byte 21")},
		`{]`:                                                                   {fault("JSON parse error, invalid character ']' at start of value at byte 1")},
		"{@ \"execute\":{\n":                                                   {fault("JSON parse error, stray '@'")},
		"{'execute':'a'}\n":                                                    {fault(`JSON parse error, stray '\''`)},
		"{\xff}\n":                                                             {fault(`JSON parse error, stray '\uFFFD'`)},
		"{\"execute\":\"a\n":                                                   {fault(`JSON parse error, stray '\n'`)},
		"{\"execute\":\"a\\\n":                                                 {fault(`JSON parse error, stray '\n'`)},
		"{\"execute\":\"a\tb\"}\n":                                             {fault(`JSON parse error, stray '\t'`)},
		"{\"execute\":\x00\"a\"}\n":                                            {fault(`JSON parse error, stray '\x00'`)},
	} {
		c.send(say + again)
		for _, w := range append(want, then) {
			if got := c.next(); got != w {
				t.Errorf("%q: got %s, want %s", say, got, w)
			}
		}
	}
}

// Who sends a byte at a time is answered the same.
func TestPieces(t *testing.T) {
	c, _ := newClient(t, echo)
	for _, b := range []byte(agree + ` {"execute":"a\u0062","id":["x"]}{@}` + "\n" + `{"execute":"c"}`) {
		c.send(string(b))
	}
	c.want(agreed)
	c.want(`{"return": {"name":"ab"}, "id": ["x"]}`)
	c.want(fault("JSON parse error, stray '@'"))
	c.want(`{"return": {"name":"c"}}`)
}

// A request at a limit is one, and one past it is told at once; what it goes on with is passed over.
func TestRequestLimits(t *testing.T) {
	c, _ := newClient(t, func(c *qmpserver.Conn, r qmpserver.Request) { _ = c.Return(nil, []byte("1")) })
	c.send(agree)
	c.want(agreed)
	padded := func(size int) string {
		text := `{"execute":"a","id":""}`
		return strings.Replace(text, `""`, `"`+strings.Repeat("x", size-len(text))+`"`, 1)
	}
	for say, want := range map[string]string{
		padded(maxRequest):     `{"return": 1}`,
		padded(maxRequest + 1): fault("JSON token size limit exceeded"),
		padded(100 << 10):      fault("JSON token size limit exceeded"),
	} {
		c.send(say + `{"execute":"b"}`)
		c.want(want)
		c.want(`{"return": 1}`)
	}
}

// One of 1024 levels is a request, and one of 1025 none.
func TestNesting(t *testing.T) {
	server, fd, err := qmpserver.Pair(10000)
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	c := newClientOf(t, fd)
	c.send(agree)
	for _, depth := range []int{1024, 1025} {
		c.send(`{"execute":"a","id":` + strings.Repeat("[", depth-1) + strings.Repeat("]", depth-1) + `}`)
		c.send(`{"execute":"b"}`)
		r, err := server.Next()
		if err != nil || r.Name != map[int]string{1024: "a", 1025: "b"}[depth] {
			t.Errorf("%d levels: %q, %v", depth, r.Name, err)
		}
		if depth > 1024 {
			break
		}
		if r, err = server.Next(); err != nil || r.Name != "b" {
			t.Errorf("then %q, %v", r.Name, err)
		}
	}
}

// A reply at the limit is sent, one past it is not, and another takes its place.
func TestReplyLimit(t *testing.T) {
	const frame = len(`{"return": ""}`) + len("\r\n")
	c, _ := newClient(t, func(c *qmpserver.Conn, r qmpserver.Request) {
		size := qmpserver.MaxReply
		if r.Name == "past" {
			size++
		}
		err := c.Return(r.ID, []byte(`"`+strings.Repeat("x", size-frame)+`"`))
		if (r.Name == "past") != errors.Is(err, qmpserver.ErrTooLarge) {
			t.Errorf("%s: Return = %v", r.Name, err)
		}
		if err != nil {
			_ = c.Refuse(r.ID, &qmp.Error{Class: "GenericError", Desc: "large"})
		}
	})
	c.send(agree)
	c.want(agreed)
	c.send(`{"execute":"at"}{"execute":"past"}`)
	if got := len(c.next()); got != qmpserver.MaxReply-len("\r\n") {
		t.Errorf("a line of %d bytes", got)
	}
	c.want(fault("large"))
}

// Who does not read what it is answered is not read either.
func TestBackPressure(t *testing.T) {
	begun := make(chan string, 10)
	big := []byte(`"` + strings.Repeat("x", 1<<20) + `"`) // more than a socket holds
	c, _ := newClient(t, func(c *qmpserver.Conn, r qmpserver.Request) {
		begun <- r.Name
		_ = c.Return(r.ID, big)
	})
	c.send(agree)
	c.want(agreed)
	c.send(`{"execute":"a"}{"execute":"b"}`)
	if got := <-begun; got != "a" {
		t.Errorf("%s began", got)
	}
	select {
	case name := <-begun:
		t.Errorf("%s began before the answer was taken", name)
	default:
	}
	c.next()
	if got := <-begun; got != "b" {
		t.Errorf("%s began", got)
	}
	c.next()
}

// Events come as QEMU sends them, and what nobody takes ends with ErrFull, having kept MaxWaiting at most.
func TestEvents(t *testing.T) {
	c, server := newClient(t, echo)
	if server.Ready() {
		t.Error("it is ready before the negotiation")
	}
	c.send(agree)
	c.want(agreed)
	c.send(`{"execute":"a"}`) // after that it is ready
	c.want(`{"return": {"name":"a"}}`)
	if !server.Ready() {
		t.Error("it is not ready after the negotiation")
	}
	for _, one := range []struct {
		event qmp.Event
		want  string
	}{
		{qmp.Event{Name: "STOP", Timestamp: 1700000000000005}, `{"timestamp": {"seconds": 1700000000, "microseconds": 5}, "event": "STOP"}`},
		{qmp.Event{Name: "X", Data: []byte(`{"a":1}`), Timestamp: -1}, `{"timestamp": {"seconds": -1, "microseconds": -1}, "event": "X", "data": {"a":1}}`},
		{qmp.Event{Name: "A\"\n\xff"}, `{"timestamp": {"seconds": 0, "microseconds": 0}, "event": "A\"\n` + "\uFFFD" + `"}`},
	} {
		if err := server.Event(one.event); err != nil {
			t.Fatal(err)
		}
		c.want(one.want)
	}
	sent, err := 0, error(nil)
	flood := qmp.Event{Name: "X", Data: []byte(`{"a":"` + strings.Repeat("x", 10000) + `"}`)}
	for ; err == nil; sent += len(flood.Data) {
		err = server.Event(flood)
	}
	if most := 2 * qmpserver.MaxWaiting; !errors.Is(err, qmpserver.ErrFull) || sent < qmpserver.MaxWaiting || sent > most {
		t.Errorf("after %d bytes: %v", sent, err)
	}
	server.Abort(err)
}

// After End what has come is served, and what was answered arrives.
func TestEnd(t *testing.T) {
	server, fd, err := qmpserver.Pair(maxRequest)
	if err != nil {
		t.Fatal(err)
	}
	c := newClientOf(t, fd)
	c.send(agree)
	server.End()
	if r, err := server.Next(); err != io.EOF {
		t.Errorf("Next = %+v, %v, want EOF", r, err)
	}
	c.want(agreed)
	if err := errors.Join(server.Flush(), server.Close()); err != nil {
		t.Error(err)
	}
	if text, err := io.ReadAll(c.in); len(text) > 0 || err != nil {
		t.Errorf("%q, %v, want the end", text, err)
	}
}

// count answers with how many descriptors came with a request, and closes them.
func count(c *qmpserver.Conn, r qmpserver.Request) {
	for _, fd := range r.FDs {
		unix.Close(fd)
	}
	_ = c.Return(r.ID, fmt.Appendf(nil, `{"fds":%d}`, len(r.FDs)))
}

// sendFDs sends a text with so many descriptors, whose pipe ends when all are closed.
func (c *client) sendFDs(t *testing.T, text string, n int) (reader *os.File) {
	t.Helper()
	reader, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { reader.Close() })
	fds := slices.Repeat([]int{int(w.Fd())}, n)
	_, _, err = c.conn.WriteMsgUnix([]byte(text), unix.UnixRights(fds...), nil)
	if err := errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	return reader
}

// Descriptors are those of the request that they were sent with, in however many pieces it and others come.
func TestFDs(t *testing.T) {
	c, server := newClient(t, count)
	var all []*os.File
	all = append(all, c.sendFDs(t, `{"execute":"getfd"}`, 1))
	c.want(`{"error": {"class": "CommandNotFound", "desc": "Expecting capabilities negotiation with 'qmp_capabilities'"}}`)
	all = append(all, c.sendFDs(t, agree, 2))
	c.want(fault("qmp_capabilities takes no file descriptors"))
	c.send(agree)
	c.want(agreed)
	has := func(fds ...int) {
		t.Helper()
		for _, n := range fds {
			c.want(fmt.Sprintf(`{"return": {"fds":%d}}`, n))
		}
	}
	const request = `{"execute":"x"}`
	all = append(all, c.sendFDs(t, request, 1))
	has(1)
	c.send(request + request)
	all = append(all, c.sendFDs(t, request+"\r\n", 2))
	c.send(request)
	has(0, 0, 2, 0)
	all = append(all, c.sendFDs(t, request+request, 1)) // QEMU would have it wait for one that takes it
	has(0, 1)
	all = append(all, c.sendFDs(t, request[:5], 1), c.sendFDs(t, request[5:10], 1))
	c.send(request[10:])
	has(2)
	c.send(request[:5])
	all = append(all, c.sendFDs(t, request[5:]+request[:3], 1))
	c.send(request[3:])
	has(0, 1)
	all = append(all, c.sendFDs(t, request, qmpserver.MaxFDs))
	has(qmpserver.MaxFDs)
	all = append(all, c.sendFDs(t, request, qmpserver.MaxFDs+1))
	c.want(fault("more than 16 file descriptors came with the request"))
	all = append(all, c.sendFDs(t, "x\n", 1)) // no request
	if got := c.next(); !strings.HasPrefix(got, `{"error"`) {
		t.Errorf("got %s, want an error", got)
	}
	c.send(request)
	has(0)
	all = append(all, c.sendFDs(t, request[:5], 1)) // never complete
	c.conn.Close()
	server.Close()
	for i, reader := range all {
		if err := reader.SetReadDeadline(time.Now().Add(rig.Timeout)); err != nil {
			t.Fatal(err)
		}
		if n, err := reader.Read(make([]byte, 1)); n != 0 || err != io.EOF {
			t.Errorf("the pipe %d is still held: %d, %v", i, n, err)
		}
	}
}
