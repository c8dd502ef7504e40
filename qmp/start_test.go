package qmp_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"qmp-dbus-bridge/qmp"
	"qmp-dbus-bridge/qmp/fdtest"
	"qmp-dbus-bridge/qmp/qmptest"
)

func TestExecute(t *testing.T) {
	c, _ := open(t, qmp.Options{}, func(_ *qmptest.QEMU, r *qmptest.Request) {
		switch r.Name {
		case "query-status":
			r.Return(`{"status": "running", "a": [1, {"b": null}]}`)
		case "odd":
			r.Fail("SomethingNew", "who \"knows\"\n")
		case "echo":
			r.Return(string(r.Arguments))
		}
	})
	ctx := context.Background()
	got, err := c.Execute(ctx, qmp.Command{Name: "query-status"})
	if err != nil || string(got) != `{"status": "running", "a": [1, {"b": null}]}` {
		t.Errorf("query-status = %s, %v", got, err)
	}
	got, err = c.Execute(ctx, qmp.Command{Name: "echo", Arguments: []byte(`{"a":"\u00e9é\ud800"}`)})
	if err != nil || string(got) != `{"a":"\u00e9é\ud800"}` {
		t.Errorf("echo = %s, %v", got, err)
	}
	_, err = c.Execute(ctx, qmp.Command{Name: "odd"})
	var refused *qmp.Error
	if !errors.As(err, &refused) {
		t.Fatalf("odd: %v, want an Error", err)
	}
	if diff := cmp.Diff(&qmp.Error{Class: "SomethingNew", Desc: "who \"knows\"\n"}, refused); diff != "" {
		t.Errorf("odd (-want +got):\n%s", diff)
	}
}

func TestRequestLines(t *testing.T) {
	ch, handler := requests()
	c, _ := open(t, qmp.Options{}, handler)
	commands := []qmp.Command{
		{Name: "a"},
		{Name: "b-c_D.9", Arguments: []byte(`{}`)},
		{Name: "yank", Arguments: []byte(`{"x":["y z"]}`), OOB: true},
		{Name: "d"},
	}
	want := []string{
		`{"execute":"a"}`,
		`{"execute":"b-c_D.9","arguments":{},"id":1}`,
		`{"exec-oob":"yank","arguments":{"x":["y z"]},"id":2}`,
		`{"execute":"d","id":3}`,
	}
	for i, command := range commands {
		start(c, command)
		if got := receive(t, ch).Line; got != want[i] {
			t.Errorf("request %s, want %s", got, want[i])
		}
	}
}

func TestImpossibleCommands(t *testing.T) {
	_, handler := requests()
	c, _ := open(t, qmp.Options{}, handler)
	tests := []struct {
		name    string
		command qmp.Command
		want    string
	}{
		{"no name", qmp.Command{}, `CommandNotFound: The command "" has not been found`},
		{"injected", qmp.Command{Name: `a","x":"`}, `CommandNotFound: `},
		{"blank", qmp.Command{Name: "a b"}, `CommandNotFound: `},
		{"not an object", qmp.Command{Name: "a", Arguments: []byte(`[]`)}, "arguments are not a JSON object"},
		{"empty", qmp.Command{Name: "a", Arguments: []byte{}}, "arguments are not a JSON object"},
		{"half", qmp.Command{Name: "a", Arguments: []byte(`{`)}, "arguments are not a JSON object"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := receive(t, start(c, test.command))
			if got.Err == nil || !strings.HasPrefix(got.Err.Error(), test.want) {
				t.Errorf("reply %v, want %q", got.Err, test.want)
			}
		})
	}
}

// The argument buffer is the caller's when Start returns, also if the command waits.
func TestArgumentsNotRetained(t *testing.T) {
	ch, handler := requests()
	c, _ := open(t, qmp.Options{}, handler)
	arguments := make([]byte, 0, 100)
	for i := range 20 {
		arguments = fmt.Appendf(arguments[:0], `{"n":%d}`, i)
		start(c, qmp.Command{Name: "a", Arguments: arguments})
	}
	clear(arguments)
	for i := range 20 {
		r := receive(t, ch)
		if want := fmt.Sprintf(`{"n":%d}`, i); string(r.Arguments) != want {
			t.Errorf("arguments %s, want %s", r.Arguments, want)
		}
		r.Return("{}")
	}
}

func TestOutOfOrder(t *testing.T) {
	ch, handler := requests()
	c, _ := open(t, qmp.Options{}, handler)
	var replies []<-chan outcome
	var received []*qmptest.Request
	for i := range qmp.MaxInBand {
		replies = append(replies, start(c, qmp.Command{Name: fmt.Sprint("c", i)}))
		received = append(received, receive(t, ch))
	}
	for _, i := range []int{3, 6, 0, 5, 1, 4, 2} {
		received[i].Return(fmt.Sprintf(`"%s"`, received[i].Name))
	}
	for i, reply := range replies {
		if got, want := receive(t, reply), fmt.Sprintf(`"c%d"`, i); got.Return != want || got.Err != nil {
			t.Errorf("reply %v, want %s", got, want)
		}
	}
	if n := c.InFlight(); n != 0 {
		t.Errorf("InFlight = %d, want 0", n)
	}
}

// Only one command has no id, and it gets the reply without one.
func TestWithoutID(t *testing.T) {
	ch, handler := requests()
	c, _ := open(t, qmp.Options{}, handler)
	first, second := start(c, qmp.Command{Name: "a"}), start(c, qmp.Command{Name: "b"})
	a, b := receive(t, ch), receive(t, ch)
	if a.ID != nil || string(b.ID) != "1" {
		t.Errorf("ids %s and %s, want none and 1", a.ID, b.ID)
	}
	a.Return(`"a"`)
	if got := receive(t, first); got.Return != `"a"` {
		t.Errorf("reply %v", got)
	}
	third := start(c, qmp.Command{Name: "c"})
	if r := receive(t, ch); r.ID != nil {
		t.Errorf("id %s, want none, which is free again", r.ID)
	} else {
		r.Fail("GenericError", "c")
	}
	if got := receive(t, third); got.Err == nil || got.Err.Error() != "GenericError: c" {
		t.Errorf("reply %v", got)
	}
	b.Return(`"b"`)
	if got := receive(t, second); got.Return != `"b"` {
		t.Errorf("reply %v", got)
	}
}

func TestStrayReplies(t *testing.T) {
	tests := []struct{ name, line string }{
		{"unknown id", `{"return": 0, "id": 9}`},
		{"out of range", `{"return": 0, "id": 99}`},
		{"huge", `{"return": 0, "id": 18446744073709551617}`},
		{"negative", `{"return": 0, "id": -1}`},
		{"fraction", `{"return": 0, "id": 1.0}`},
		{"zero", `{"return": 0, "id": 0}`},
		{"text", `{"return": 0, "id": "1"}`},
		{"null", `{"return": 0, "id": null}`},
		{"object", `{"return": 0, "id": {"a": [1]}}`},
		{"error", `{"id": 9, "error": {"class": "GenericError", "desc": "x"}}`},
		{"neither", `{"id": 1}`},
		{"empty", `{}`},
		{"greeting", qmptest.Greeting},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			ch, handler := requests()
			var text log
			c, qemu := open(t, qmp.Options{Logger: text.logger()}, handler)
			first, second := start(c, qmp.Command{Name: "a"}), start(c, qmp.Command{Name: "b"})
			a, b := receive(t, ch), receive(t, ch)
			qemu.Send(test.line + "\r\n")
			b.Return(`"b"`)
			if got := receive(t, second); got.Return != `"b"` {
				t.Errorf("reply %v", got)
			}
			b.Return(`"repeated"`)
			a.Return(`"a"`)
			if got := receive(t, first); got.Return != `"a"` {
				t.Errorf("reply %v", got)
			}
			qemu.Send(`{"return": "repeated without id"}` + "\n")
			third := start(c, qmp.Command{Name: "c"})
			receive(t, ch)
			nothing(t, first, "second reply")
			nothing(t, second, "second reply")
			c.Close()
			_ = third
			if n := strings.Count(text.String(), "QMP message dropped"); n != 2 {
				t.Errorf("%d log lines, want 2, for the first and second:\n%s", n, text.String())
			}
		})
	}
}

func TestFloodOfStrayReplies(t *testing.T) {
	var text log
	c, qemu := open(t, qmp.Options{Logger: text.logger()}, qmptest.Answers{"a": "{}"}.Handle)
	for range 10 {
		qemu.Send(strings.Repeat(`{"return": 0, "id": 77}`+"\n", 100))
	}
	if _, err := c.Execute(context.Background(), qmp.Command{Name: "a"}); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(text.String(), "\n"); n != 10 || !strings.Contains(text.String(), "qmp.count=512") {
		t.Errorf("%d log lines, want 10, for 1 to 512:\n%s", n, text.String())
	}
}

func TestLanes(t *testing.T) {
	ch, handler := requests()
	c, _ := open(t, qmp.Options{}, handler)
	var sent []*qmptest.Request
	for i := range qmp.MaxInBand {
		start(c, qmp.Command{Name: fmt.Sprint("in", i)})
		sent = append(sent, receive(t, ch))
	}
	eighth, ninth := start(c, qmp.Command{Name: "in7"}), start(c, qmp.Command{Name: "in8"})
	nothing(t, ch, "the eighth was sent")
	if c.InFlight() != qmp.MaxInBand || c.Waiting() != 2 {
		t.Errorf("InFlight, Waiting = %d, %d, want 7, 2", c.InFlight(), c.Waiting())
	}
	for i := range qmp.MaxOutOfBand {
		start(c, qmp.Command{Name: fmt.Sprint("out", i), OOB: true})
		if r := receive(t, ch); !r.OOB || r.Name != fmt.Sprint("out", i) {
			t.Errorf("got %s", r.Line)
		}
	}
	start(c, qmp.Command{Name: "out8", OOB: true})
	nothing(t, ch, "the ninth out of band was sent")
	sent[4].Return("{}")
	if r := receive(t, ch); r.Name != "in7" {
		t.Errorf("got %s, want in7", r.Line)
	} else {
		r.Return("7")
	}
	if r := receive(t, ch); r.Name != "in8" {
		t.Errorf("got %s, want in8", r.Line)
	} else {
		r.Return("8")
	}
	if a, b := receive(t, eighth), receive(t, ninth); a.Return != "7" || b.Return != "8" {
		t.Errorf("replies %v, %v", a, b)
	}
}

func TestOOBWithoutCapability(t *testing.T) {
	fdtest.Check(t)
	ch, handler := requests()
	_, s := qmptest.Start(t, qmptest.Options{Greeting: `{"QMP": {}}`}, handler)
	c, err := qmp.Open(context.Background(), s, qmp.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	start(c, qmp.Command{Name: "yank", OOB: true})
	if r := receive(t, ch); r.Line != `{"execute":"yank"}` {
		t.Errorf("got %s", r.Line)
	}
}

func TestWaitingLimit(t *testing.T) {
	ch, handler := requests()
	c, _ := open(t, qmp.Options{}, handler)
	for range qmp.MaxInBand + qmp.MaxWaiting {
		if reply := start(c, qmp.Command{Name: "a"}); len(reply) > 0 {
			t.Fatalf("refused at %d waiting: %v", c.Waiting(), <-reply)
		}
	}
	over := start(c, qmp.Command{Name: "b"})
	if len(over) == 0 || !errors.Is((<-over).Err, qmp.ErrFull) {
		t.Error("one more than the limit was not refused at once with ErrFull")
	}
	for range qmp.MaxInBand + qmp.MaxWaiting {
		receive(t, ch).Return("{}")
	}
}

func TestWaitingBytesLimit(t *testing.T) {
	_, handler := requests()
	c, _ := open(t, qmp.Options{}, handler)
	for range qmp.MaxInBand {
		start(c, qmp.Command{Name: "a"})
	}
	arguments := func(size int) []byte { return []byte(`{"x":"` + strings.Repeat("x", size-8) + `"}`) }
	if reply := start(c, qmp.Command{Name: "a", Arguments: arguments(qmp.MaxWaitingBytes - 2)}); len(reply) > 0 {
		t.Error(<-reply)
	}
	if reply := start(c, qmp.Command{Name: "a", Arguments: []byte(`{}`)}); len(reply) > 0 {
		t.Errorf("at the limit: %v", <-reply)
	}
	reply := start(c, qmp.Command{Name: "a", Arguments: []byte(`{}`)})
	if len(reply) == 0 || !errors.Is((<-reply).Err, qmp.ErrFull) {
		t.Error("past the limit: no ErrFull")
	}
}

// A QEMU that doesn't read makes nobody wait: what it doesn't take is queued, to a limit.
func TestUnsentLimit(t *testing.T) {
	fdtest.Check(t)
	stop := make(chan bool)
	_, s := qmptest.Start(t, qmptest.Options{}, func(*qmptest.QEMU, *qmptest.Request) { <-stop })
	c, err := qmp.Open(context.Background(), s, qmp.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	defer close(stop)
	large := []byte(`{"x":"` + strings.Repeat("x", 6<<20) + `"}`)
	var full int
	for range 4 {
		if reply := start(c, qmp.Command{Name: "a", Arguments: large}); len(reply) > 0 {
			if got := <-reply; !errors.Is(got.Err, qmp.ErrFull) {
				t.Errorf("reply %v, want ErrFull", got)
			}
			full++
		}
	}
	if full == 0 || full == 4 || c.InFlight() != 4-full {
		t.Errorf("%d of 4 refused, %d in flight", full, c.InFlight())
	}
	too := []byte(`{"x":"` + strings.Repeat("x", qmp.MaxUnsent) + `"}`)
	if got := receive(t, start(c, qmp.Command{Name: "a", Arguments: too})); !errors.Is(got.Err, qmp.ErrFull) {
		t.Errorf("reply %v, want ErrFull", got)
	}
}

// Cancelling abandons the wait only: the late reply frees the slot and bothers nobody.
func TestExecuteCancelled(t *testing.T) {
	ch, handler := requests()
	var text log
	c, _ := open(t, qmp.Options{Logger: text.logger()}, handler)
	ctx, cancel := context.WithCancel(context.Background())
	failed := make(chan error)
	go func() {
		_, err := c.Execute(ctx, qmp.Command{Name: "slow"})
		failed <- err
	}()
	slow := receive(t, ch)
	cancel()
	if err := receive(t, failed); err != context.Canceled {
		t.Errorf("Execute = %v, want context.Canceled", err)
	}
	other := start(c, qmp.Command{Name: "other"})
	if r := receive(t, ch); string(r.ID) != "1" || c.InFlight() != 2 {
		t.Errorf("the abandoned command no longer holds its place: id %s, %d in flight", r.ID, c.InFlight())
	} else {
		slow.Return(`"late"`)
		r.Return(`"other"`)
	}
	if got := receive(t, other); got.Return != `"other"` {
		t.Errorf("reply %v", got)
	}
	if c.InFlight() != 0 || text.String() != "" {
		t.Errorf("%d in flight, log %q", c.InFlight(), text.String())
	}
	if _, err := c.Execute(ctx, qmp.Command{Name: "never"}); err != context.Canceled {
		t.Errorf("Execute = %v, want context.Canceled", err)
	}
	nothing(t, ch, "sent in spite of a cancelled context")
}

func TestStartInCallback(t *testing.T) {
	c, _ := open(t, qmp.Options{}, qmptest.Answers{"a": "1", "b": "2"}.Handle)
	second := make(chan string, 1)
	c.Start(qmp.Command{Name: "a"}, func(qmp.Reply) {
		c.Start(qmp.Command{Name: "b"}, func(r qmp.Reply) { second <- string(r.Return) })
	})
	if got := receive(t, second); got != "2" {
		t.Errorf("reply %s, want 2", got)
	}
	c.Start(qmp.Command{Name: "a"}, nil)
	if _, err := c.Execute(context.Background(), qmp.Command{Name: "a"}); err != nil {
		t.Error(err)
	}
}

// Many at once, each with the reply to its own command, in the order of Start.
func TestConcurrent(t *testing.T) {
	const goroutines, each = 8, 200
	order := map[string]int{} // the fake's goroutine's own, until the end
	c, _ := open(t, qmp.Options{}, func(_ *qmptest.QEMU, r *qmptest.Request) {
		var g, i int
		if _, err := fmt.Sscanf(r.Name, "c%d-%d", &g, &i); err != nil || order[fmt.Sprint(g)] != i {
			t.Errorf("%s came in place of %d (%v)", r.Name, order[fmt.Sprint(g)], err)
		}
		order[fmt.Sprint(g)]++
		if i%3 == 0 {
			r.ReturnAfter(time.Duration(i%7)*100*time.Microsecond, `"`+r.Name+`"`)
		} else {
			r.Return(`"` + r.Name + `"`)
		}
	})
	var all, replies sync.WaitGroup
	for g := range goroutines {
		all.Go(func() {
			for i := range each {
				name := fmt.Sprintf("c%d-%d", g, i)
				replies.Add(1)
				c.Start(qmp.Command{Name: name}, func(r qmp.Reply) {
					defer replies.Done()
					if r.Err != nil || string(r.Return) != `"`+name+`"` {
						t.Errorf("%s: %s, %v", name, r.Return, r.Err)
					}
				})
				for c.Waiting() > qmp.MaxWaiting/2 {
					time.Sleep(time.Millisecond)
				}
			}
		})
	}
	all.Wait()
	replies.Wait()
}
