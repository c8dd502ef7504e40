package qmp_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"qmp-dbus-bridge/qmp"
	"qmp-dbus-bridge/qmp/qmptest"
)

func TestEvents(t *testing.T) {
	type event struct {
		Name, Data string
		Timestamp  int64
	}
	events := make(chan event, 1)
	_, qemu := open(t, qmp.Options{OnEvent: func(e qmp.Event) {
		events <- event{e.Name, string(e.Data), e.Timestamp}
	}}, nil)
	tests := []struct {
		line string
		want event
	}{
		{`{"timestamp": {"seconds": 1700000000, "microseconds": 5}, "event": "STOP"}`, event{"STOP", "", 1700000000000005}},
		{`{"event": "A", "data": {"b": [1, 2]}, "new": {}}`, event{"A", `{"b": [1, 2]}`, -1}},
		{`{"timestamp": {"seconds": -1, "microseconds": -1}, "event": "B", "data": {}}`, event{"B", "{}", -1}},
		{`{"event": "C", "timestamp": {"seconds": 9223372036854, "microseconds": 999999}}`, event{"C", "", -1}},
		{`{"event": "D", "timestamp": {"seconds": 9223372036853, "microseconds": 999999, "x": 0}}`, event{"D", "", 9223372036853999999}},
		{`{"event": "E", "timestamp": {"seconds": 1, "microseconds": 1000000}}`, event{"E", "", -1}},
		{`{"event": "F", "timestamp": {"seconds": 1.5, "microseconds": 1e99}}`, event{"F", "", -1}},
		{`{"event": "G", "timestamp": {}}`, event{"G", "", -1}},
		{`{"event": "H\u00e9\u0000\ud800"}`, event{"Hé\x00\ufffd", "", -1}},
		{"{\"event\": \"I\xff\", \"data\": {\"x\": \"\xff\"}}", event{"I\ufffd", "{\"x\": \"\xff\"}", -1}},
	}
	for _, test := range tests {
		qemu.Send(test.line + "\r\n")
		if diff := cmp.Diff(test.want, receive(t, events)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.line, diff)
		}
	}
}

// Anything that is not QMP ends the connection, with a reason.
func TestMalformed(t *testing.T) {
	tests := []struct{ name, line, want string }{
		{"garbage", "garbage", "invalid character 'g'"},
		{"blank line", "", "empty line"},
		{"blanks", "  ", "EOF"},
		{"cut short", `{"return": {"a"`, "unexpected EOF"},
		{"array", `[]`, "want a JSON object, got ["},
		{"number", `7`, "want a JSON object, got number"},
		{"two", `{"event": "A"} {"event": "B"}`, "more than one JSON object"},
		{"rest", `{"event": "A"} x`, "more than one JSON object"},
		{"duplicate", `{"return": 1, "return": 2}`, "duplicate object member name"},
		{"duplicate inside", `{"return": {"a": 1, "a": 1}}`, "duplicate object member name"},
		{"both", `{"return": 1, "error": {}}`, "both return and error"},
		{"error is text", `{"error": "x"}`, "want a JSON object, got string"},
		{"class is number", `{"error": {"class": 1}}`, "want class of kind string, got number"},
		{"desc is null", `{"error": {"desc": null}}`, "want desc of kind string, got null"},
		{"event is number", `{"event": 1}`, "want event of kind string, got number"},
		{"data is array", `{"event": "A", "data": []}`, "want data of kind {, got ["},
		{"timestamp is number", `{"event": "A", "timestamp": 1}`, "want a JSON object, got number"},
		{"seconds is text", `{"event": "A", "timestamp": {"seconds": "1"}}`, "want seconds of kind number, got string"},
		{"too deep", `{"return": ` + strings.Repeat("[", 20000), "exceeded max depth"},
		{"NUL", "{\"event\": \"A\x00\"}", "invalid character"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			ch, handler := requests()
			c, qemu := open(t, qmp.Options{}, handler)
			reply := start(c, qmp.Command{Name: "a"})
			receive(t, ch)
			qemu.Send(test.line + "\r\n")
			got := receive(t, reply)
			if !errors.Is(got.Err, qmp.ErrClosed) || !strings.Contains(got.Err.Error(), test.want) {
				t.Errorf("reply %v, want ErrClosed with %q", got, test.want)
			}
			receive(t, c.Done())
			receive(t, qemu.Done()) // we hung up
			if c.Err() != got.Err {
				t.Errorf("Err = %v, want %v", c.Err(), got.Err)
			}
		})
	}
}

func TestMaxLine(t *testing.T) {
	line := func(size int) string {
		const frame = `{"return": ""}`
		return `{"return": "` + strings.Repeat("x", size-len(frame)) + `"}`
	}
	for _, limit := range []int{1000, 20_000, 100_000, 3 << 20} {
		for _, end := range []string{"\n", "\r\n"} {
			t.Run(fmt.Sprintf("%d%q", limit, end), func(t *testing.T) {
				ch, handler := requests()
				c, qemu := open(t, qmp.Options{MaxLine: limit}, handler)
				reply := start(c, qmp.Command{Name: "a"})
				receive(t, ch)
				qemu.Send(line(limit) + end)
				if got := receive(t, reply); got.Err != nil || len(got.Return) != limit-len(`{"return": }`) {
					t.Fatalf("line at the limit: %d bytes, %v", len(got.Return), got.Err)
				}
				reply = start(c, qmp.Command{Name: "a"})
				receive(t, ch)
				qemu.Send(line(limit+1) + end)
				got := receive(t, reply)
				if want := fmt.Sprintf("line of more than %d bytes", limit); !errors.Is(got.Err, qmp.ErrClosed) || !strings.HasSuffix(got.Err.Error(), want) {
					t.Errorf("line past the limit: %v, want %q", got.Err, want)
				}
			})
		}
	}
}

// A line without end is refused when it is too long, not gathered for ever.
func TestEndlessLine(t *testing.T) {
	c, qemu := open(t, qmp.Options{MaxLine: 1 << 20}, nil)
	qemu.Send(strings.Repeat("x", 3<<20))
	receive(t, c.Done())
	if err := c.Err(); !strings.HasSuffix(err.Error(), "line of more than 1048576 bytes") {
		t.Errorf("Err = %v", err)
	}
}

// The largest line by default; the memory for it is given back.
func TestLargeLine(t *testing.T) {
	if testing.Short() {
		t.Skip("takes 300 MiB")
	}
	large := `"` + strings.Repeat("x", qmp.DefaultMaxLine-len(`{"return": ""}`)) + `"`
	size := 0
	c, _ := open(t, qmp.Options{}, qmptest.Answers{"large": large, "small": "{}"}.Handle)
	done := make(chan error, 1)
	c.Start(qmp.Command{Name: "large"}, func(r qmp.Reply) {
		size = len(r.Return)
		done <- r.Err
	})
	if err := receive(t, done); err != nil || size != len(large) {
		t.Fatalf("%d bytes, %v", size, err)
	}
	size = len(large)
	if _, err := c.Execute(context.Background(), qmp.Command{Name: "small"}); err != nil {
		t.Fatal(err)
	}
	runtime.GC()
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)
	// The test itself still has the answer.
	if kept := int64(memory.HeapAlloc) - int64(size); kept > 16<<20 {
		t.Errorf("%d MiB are still in use", kept>>20)
	}
	runtime.KeepAlive(large)
}

// What comes in pieces, or many lines at once, is the same.
func TestPieces(t *testing.T) {
	const count = 300
	events := make(chan string, count)
	_, qemu := open(t, qmp.Options{OnEvent: func(e qmp.Event) { events <- e.Name }}, nil)
	var all strings.Builder
	for i := range count {
		fmt.Fprintf(&all, `{"event": "E%d", "data": {"x": "%s"}}`+"\r\n", i, strings.Repeat("x", i*i%3000))
	}
	go func() {
		text := all.String()
		for step := 1; len(text) > 0; step = step%5000 + 613 {
			n := min(step, len(text))
			qemu.Send(text[:n])
			text = text[n:]
			if step%3 == 0 {
				time.Sleep(50 * time.Microsecond)
			}
		}
	}()
	for i := range count {
		if got, want := receive(t, events), fmt.Sprint("E", i); got != want {
			t.Fatalf("event %s, want %s", got, want)
		}
	}
}

// At the end every command gets one reply, whatever its state.
func TestEnd(t *testing.T) {
	tests := []struct {
		name string
		end  func(*qmp.Conn, *qmptest.QEMU)
		want error // beside ErrClosed
		text string
	}{
		{"QEMU gone", func(_ *qmp.Conn, q *qmptest.QEMU) { q.Hangup() }, io.EOF, "QMP connection ended: EOF"},
		{"in the middle of a line", func(_ *qmp.Conn, q *qmptest.QEMU) {
			q.Send(`{"return": `)
			q.Hangup()
		}, io.ErrUnexpectedEOF, "QMP connection ended: unexpected EOF"},
		{"garbage", func(_ *qmp.Conn, q *qmptest.QEMU) { q.Send("x\n") }, nil, ""},
		{"Close", func(c *qmp.Conn, _ *qmptest.QEMU) { c.Close() }, nil, "QMP connection ended"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			ch, handler := requests()
			c, qemu := open(t, qmp.Options{}, handler)
			var replies []<-chan outcome
			for range 30 {
				replies = append(replies, start(c, qmp.Command{Name: "a"}))
			}
			for range 3 {
				replies = append(replies, start(c, qmp.Command{Name: "b", OOB: true}))
			}
			for range qmp.MaxInBand + 3 {
				receive(t, ch)
			}
			if c.Err() != nil {
				t.Errorf("Err = %v, want nil", c.Err())
			}
			test.end(c, qemu)
			receive(t, c.Done())
			err := c.Err()
			if !errors.Is(err, qmp.ErrClosed) || test.want != nil && !errors.Is(err, test.want) || test.text != "" && err.Error() != test.text {
				t.Errorf("Err = %v, want %q", err, test.text)
			}
			for i, reply := range replies {
				if len(reply) != 1 {
					t.Fatalf("command %d has %d replies", i, len(reply))
				}
				if got := <-reply; got.Err != err {
					t.Errorf("command %d: %v, want %v", i, got, err)
				}
			}
			if c.InFlight() != 0 || c.Waiting() != 0 {
				t.Errorf("InFlight, Waiting = %d, %d, want 0, 0", c.InFlight(), c.Waiting())
			}
			if got := receive(t, start(c, qmp.Command{Name: "late"})); got.Err != err {
				t.Errorf("after the end: %v, want %v", got, err)
			}
		})
	}
}

func TestQuit(t *testing.T) {
	t.Run("answered", func(t *testing.T) {
		c, _ := open(t, qmp.Options{}, qmptest.Answers{}.Handle)
		got, err := c.Execute(context.Background(), qmp.Command{Name: "quit"})
		if err != nil || string(got) != "{}" {
			t.Errorf("quit = %s, %v", got, err)
		}
		receive(t, c.Done())
	})
	t.Run("end of file", func(t *testing.T) {
		ch, handler := requests()
		c, qemu := open(t, qmp.Options{}, handler)
		quit, other := start(c, qmp.Command{Name: "quit"}), start(c, qmp.Command{Name: "other"})
		receive(t, ch)
		receive(t, ch)
		qemu.Hangup()
		if got := receive(t, quit); got.Return != "{}" || got.Err != nil {
			t.Errorf("quit: %v", got)
		}
		if got := receive(t, other); !errors.Is(got.Err, qmp.ErrClosed) {
			t.Errorf("other: %v", got)
		}
	})
	t.Run("not sent", func(t *testing.T) {
		ch, handler := requests()
		c, qemu := open(t, qmp.Options{}, handler)
		for range qmp.MaxInBand {
			start(c, qmp.Command{Name: "a"})
			receive(t, ch)
		}
		quit := start(c, qmp.Command{Name: "quit"})
		qemu.Hangup()
		if got := receive(t, quit); !errors.Is(got.Err, qmp.ErrClosed) {
			t.Errorf("quit: %v", got)
		}
	})
	for _, garbage := range []string{"garbage\n", "\n", " \n", "{\n"} {
		t.Run(fmt.Sprintf("garbage %q", garbage), func(t *testing.T) {
			ch, handler := requests()
			c, qemu := open(t, qmp.Options{}, handler)
			quit := start(c, qmp.Command{Name: "quit"})
			receive(t, ch)
			qemu.Send(garbage)
			if got := receive(t, quit); !errors.Is(got.Err, qmp.ErrClosed) {
				t.Errorf("quit: %v", got)
			}
		})
	}
	t.Run("Close", func(t *testing.T) {
		ch, handler := requests()
		c, _ := open(t, qmp.Options{}, handler)
		quit := start(c, qmp.Command{Name: "quit"})
		receive(t, ch)
		c.Close()
		if got := receive(t, quit); !errors.Is(got.Err, qmp.ErrClosed) {
			t.Errorf("quit: %v", got)
		}
	})
}

// A reply that came before the end counts, though a write has failed before it was read.
func TestReplyBeforeEnd(t *testing.T) {
	block := make(chan bool)
	ch, handler := requests()
	c, qemu := open(t, qmp.Options{OnEvent: func(qmp.Event) { <-block }}, handler)
	first := start(c, qmp.Command{Name: "a"})
	r := receive(t, ch)
	qemu.Event("HOLD", "")
	r.Return(`"a"`)
	qemu.Hangup()
	receive(t, qemu.Done())
	second := start(c, qmp.Command{Name: "b"})
	close(block)
	if got := receive(t, first); got.Return != `"a"` {
		t.Errorf("first: %v", got)
	}
	if got := receive(t, second); !errors.Is(got.Err, qmp.ErrClosed) {
		t.Errorf("second: %v", got)
	}
}
