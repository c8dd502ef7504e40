package qmptest

import (
	"encoding/json"
	"fmt"
	"os"
	"time"
)

// Request is a command that came.
type Request struct {
	Name      string
	OOB       bool            // it was sent with exec-oob
	ID        json.RawMessage // nil if it has none
	Arguments json.RawMessage // nil if it has none
	Files     []*os.File      // that came with it; closed at the connection's end
	Line      string          // the request itself

	qemu *QEMU
}

// Return answers with a JSON value.
func (r *Request) Return(value string) {
	id := ""
	if r.ID != nil {
		id = `, "id": ` + string(r.ID)
	}
	r.qemu.Send(`{"return": ` + value + id + "}\r\n")
}

// Fail answers with an error.
func (r *Request) Fail(class, desc string) {
	id := ""
	if r.ID != nil {
		id = `"id": ` + string(r.ID) + `, `
	}
	r.qemu.Send(fmt.Sprintf(`{%s"error": {"class": %q, "desc": %q}}`+"\r\n", id, class, desc))
}

// ReturnAfter is Return from another goroutine after a while; if the connection has ended
// by then nothing happens.
func (r *Request) ReturnAfter(d time.Duration, value string) {
	time.AfterFunc(d, func() { r.Return(value) })
}

// handle parses a request and gives it to the handler.
func (q *QEMU) handle(line []byte, files []*os.File) {
	var request struct {
		Execute   string
		ExecOOB   string `json:"exec-oob"`
		Arguments json.RawMessage
		ID        json.RawMessage
	}
	if err := json.Unmarshal(line, &request); err != nil {
		q.tb.Errorf("request %q: %v", line, err)
		q.Send(`{"error": {"class": "GenericError", "desc": "JSON parse error"}}` + "\r\n")
		return
	}
	r := &Request{
		Name:      request.Execute + request.ExecOOB, // one of them is empty
		OOB:       request.ExecOOB != "",
		ID:        request.ID,
		Arguments: request.Arguments,
		Files:     files,
		Line:      string(line),
		qemu:      q,
	}
	if r.Name == "qmp_capabilities" && !q.options.Capabilities {
		r.Return("{}")
		return
	}
	q.handler(q, r)
}

// Answers is what commands return, by their names, as JSON.
type Answers map[string]string

// Handle is a Handler: it answers what is listed; quit also without being listed,
// which then ends the connection; all else as QEMU does a command that it doesn't know.
func (a Answers) Handle(q *QEMU, r *Request) {
	answer, listed := a[r.Name]
	switch {
	case listed:
		r.Return(answer)
	case r.Name == "quit":
		r.Return("{}")
		q.Hangup()
	default:
		r.Fail("CommandNotFound", "The command "+r.Name+" has not been found")
	}
}
