package qmp_test

import (
	"context"
	"strings"
	"testing"

	"qmp-dbus-bridge/qmp"
	"qmp-dbus-bridge/qmp/qmptest"
)

var seeds = []string{
	"",
	"\n",
	`{"return": {}}` + "\r\n",
	`{"return": {}, "id": 1}` + "\n" + `{"id": 2, "error": {"class": "GenericError", "desc": "x"}}` + "\n",
	`{"timestamp": {"seconds": 1, "microseconds": 2}, "event": "STOP", "data": {"a": [1, null]}}` + "\n",
	`{"return": [1.5e9, "\ud800\u0000", true], "id": 15}` + "\n" + `{"return"`,
	`{"return": 1, "error": {}}` + "\n",
	"{\"event\": \"\xff\"}\n",
	strings.Repeat("[", 50),
	qmptest.Greeting + "\n",
}

// FuzzReader feeds a Conn with commands in flight anything; each must get one reply.
func FuzzReader(f *testing.F) {
	for _, seed := range seeds {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, input []byte) {
		qemu, s := qmptest.Start(t, qmptest.Options{}, func(*qmptest.QEMU, *qmptest.Request) {})
		c, err := qmp.Open(context.Background(), s, qmp.Options{MaxLine: 1000, OnEvent: func(e qmp.Event) {
			if e.Data != nil && e.Data.Kind() != '{' {
				t.Errorf("data %q", e.Data)
			}
		}})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		var replies []<-chan outcome
		for range qmp.MaxInBand + 2 {
			replies = append(replies, start(c, qmp.Command{Name: "a"}))
		}
		replies = append(replies, start(c, qmp.Command{Name: "quit", OOB: true}))
		qemu.Send(string(input))
		qemu.Hangup()
		receive(t, c.Done())
		for i, reply := range replies {
			if len(reply) != 1 {
				t.Fatalf("command %d has %d replies", i, len(reply))
			}
			if got := <-reply; got.Err == nil && got.Return == "" {
				t.Errorf("command %d: empty reply", i)
			}
		}
	})
}

// FuzzHandshake has anything in place of the greeting and the answer to qmp_capabilities.
func FuzzHandshake(f *testing.F) {
	for _, seed := range seeds {
		f.Add([]byte(seed))
		f.Add([]byte(qmptest.Greeting + "\n" + seed))
	}
	f.Fuzz(func(t *testing.T, input []byte) {
		qemu, s := qmptest.Start(t, qmptest.Options{Silent: true}, nil)
		qemu.Send(string(input))
		qemu.Hangup()
		c, err := qmp.Open(context.Background(), s, qmp.Options{MaxLine: 1000})
		if (c == nil) == (err == nil) {
			t.Fatalf("Open = %v, %v", c, err)
		}
		if c != nil {
			c.Close()
		}
	})
}
