package endpoint_test

import (
	"errors"
	"strings"
	"testing"

	"qmp-dbus-bridge/bridge/endpoint"
	"qmp-dbus-bridge/schema/wire"
)

// maxAsks and maxAnswer are the limits of questions and of an answer.
const (
	maxAsks   = 128
	maxAnswer = 256 << 10
)

// answer is what a question was answered with.
type answer struct {
	text string
	err  error
}

// question asks who calls us for a text.
func question(destination string) endpoint.Question {
	return endpoint.Question{
		Destination: destination, Path: "/org/example", Interface: "org.example", Member: "Tell",
		Signature: "s", Fill: func(e *wire.Encoder) error {
			e.String("what?")
			return nil
		},
	}
}

// ask asks, and gives the serial that the question has on the bus, and what becomes of it.
func ask(t *testing.T, c *endpoint.Conn, b *bus, destination string) (serial uint32, answers chan answer) {
	t.Helper()
	answers = make(chan answer, 2)
	err := c.Ask(question(destination), func(m *wire.Message, err error) {
		got := answer{err: err}
		if err == nil {
			d := m.Decoder()
			got.text = d.String()
		}
		answers <- got
	})
	if err != nil {
		t.Fatal(err)
	}
	m := b.next()
	if m.Type != wire.MethodCall || m.Destination != destination || m.Member != "Tell" || m.Flags != wire.NoAutoStart {
		t.Fatalf("the bus got %+v", m.Header)
	}
	return m.Serial, answers
}

// reply is the header of an answer with a text.
func reply(sender string, to uint32) wire.Header {
	return wire.Header{Type: wire.MethodReturn, Sender: sender, ReplySerial: to, Signature: "s"}
}

// failure is that of an error.
func failure(sender string, to uint32) wire.Header {
	h := reply(sender, to)
	h.Type, h.ErrorName = wire.Error, "org.example.Error"
	return h
}

// TestAsk has questions answered in another order, with errors, with too much, and by others than were asked: those do not count.
func TestAsk(t *testing.T) {
	c, b := served(t, echo)
	first, answers := ask(t, c, b, caller)
	second, others := ask(t, c, b, another)
	own, drivers := ask(t, c, b, driver)
	b.send(reply(another, first), text("forged"))
	b.send(failure(another, first), text("forged"))
	b.send(reply(driver, first), text("the bus answers errors alone"))
	b.send(reply(caller, first+1000), text("nobody asked"))
	b.send(reply(caller, own), text("forged"))
	b.send(reply(driver, own), text("bus"))
	b.send(reply(another, second), text("other"))
	b.send(reply(caller, first), text("right"))
	b.send(reply(caller, first), text("once more"))
	for ch, want := range map[chan answer]string{answers: "right", others: "other", drivers: "bus"} {
		if got := receive(t, ch); got.text != want || got.err != nil {
			t.Errorf("answered %q, %v, want %q", got.text, got.err, want)
		}
	}
	for _, sender := range []string{caller, driver} { // the bus tells that a client has left
		serial, answers := ask(t, c, b, caller)
		b.send(failure(sender, serial), text("no"))
		if got := receive(t, answers); got.err != endpoint.ErrorReply("org.example.Error") {
			t.Errorf("answered %v, want the error", got.err)
		}
	}
	for range 2 { // what is no text is found by who reads it; a call in between is answered
		serial := b.send(textCall(caller, "Echo"), text("hello"))
		b.wantReply(serial, "hello")
	}
	if len(answers) > 0 {
		t.Error("a question was answered twice")
	}
}

// TestMaxAnswer has an answer of the largest size, and one of a byte more, whose body is not kept.
func TestMaxAnswer(t *testing.T) {
	c, b := served(t, echo)
	for _, over := range []int{0, 1} {
		serial, answers := ask(t, c, b, caller)
		empty, _ := b.encode(reply(caller, serial), text(""), 0)
		b.send(reply(caller, serial), text(strings.Repeat("x", maxAnswer-len(empty)+over)))
		if got := receive(t, answers); (got.err != nil) != (over == 1) {
			t.Errorf("an answer %d over the limit: %d bytes, %v", over, len(got.text), got.err)
		}
	}
}

// TestMaxAsks has as many questions as may wait, and one more; the bus is asked all the same, and when one is answered there is room.
func TestMaxAsks(t *testing.T) {
	c, b := served(t, echo)
	serial, answers := ask(t, c, b, caller)
	for range maxAsks - 1 {
		ask(t, c, b, caller)
	}
	if err := c.Ask(question(caller), nil); err == nil {
		t.Errorf("%d questions wait", maxAsks+1)
	}
	own, drivers := ask(t, c, b, driver)
	b.send(reply(driver, own), text("bus"))
	if got := receive(t, drivers); got.text != "bus" || got.err != nil {
		t.Errorf("the bus answered %q, %v", got.text, got.err)
	}
	b.send(reply(caller, serial), text(""))
	receive(t, answers)
	ask(t, c, b, caller)
}

// TestAskEnds has a connection end with a question waiting, served or not.
func TestAskEnds(t *testing.T) {
	for name, served := range map[string]bool{"served": true, "never served": false} {
		t.Run(name, func(t *testing.T) {
			c, b := newConn(t)
			if served {
				serve(t, c, echo)
			}
			_, answers := ask(t, c, b, caller)
			if err := c.Close(); err != nil {
				t.Fatal(err)
			}
			if got := receive(t, answers); got.err == nil || errors.As(got.err, new(endpoint.ErrorReply)) {
				t.Errorf("answered %v, want that the connection has ended", got.err)
			}
			if err := c.Ask(question(caller), nil); err == nil {
				t.Error("a question is taken after the end")
			}
		})
	}
}
