package bridge

import (
	"errors"
	"fmt"
	"net"
	"time"

	"golang.org/x/sys/unix"

	"qmp-dbus-bridge/bridge/access"
	"qmp-dbus-bridge/bridge/action"
	"qmp-dbus-bridge/bridge/qmpserver"
	"qmp-dbus-bridge/schema/wire"
)

const (
	// maxEnvelope is what a request of a session may have beside its arguments, in bytes.
	maxEnvelope = 4 << 10
	// acceptPause is how long no client is accepted after one could not be: when we have too many descriptors.
	acceptPause = 100 * time.Millisecond
	// refusalPause is how long no client is accepted after one was refused: each refusal is a record of the audit, and where
	// the socket is open to all, so is refusing.
	refusalPause = 20 * time.Millisecond
)

// Listen has QMP clients come in by l, as long as Run runs. It is called once, before Run; l is the Bridge's from then on.
func (b *Bridge) Listen(l *qmpserver.Listener) { b.listener = l }

func (b *Bridge) closeListener() error {
	if b.listener == nil {
		return nil
	}
	return b.listener.Close()
}

// maxRequest bounds the requests of sessions, in bytes.
func (b *Bridge) maxRequest() int { return b.config.Limits.Arguments + maxEnvelope }

// acceptSessions takes clients in until the listener is closed.
func (b *Bridge) acceptSessions() {
	for {
		conn, err := b.listener.Accept(b.maxRequest())
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil:
			if count, doubled := b.unaccepted.add(1); doubled {
				b.log.Warn("a QMP client was not accepted", "error", err, "count", count)
			}
			time.Sleep(acceptPause)
		case !b.admit(conn):
			time.Sleep(refusalPause)
		}
	}
}

// entrance is a client that has connected by itself, up to its session.
type entrance struct {
	conn *qmpserver.Conn
	name string // of the session
	gone bool   // into that
}

// entering is what such a client asks for by coming.
var entering = method{action: action.Subscribe(), run: enter}

// admit decides whether a client gets a session, and tells whether it did.
func (b *Bridge) admit(conn *qmpserver.Conn) bool {
	e := &entrance{conn: conn, name: b.sessions.newName()}
	r := &request{
		front: e, sender: e.name, onRelease: e.close,
		bridge: b, method: &entering, policy: b.policy.Load(), began: time.Now(),
	}
	caller, err := e.caller()
	if err != nil {
		r.decision = r.policy.Decide(nil, entering.action, nil)
		r.refuse(failuref(errAccessDenied, "it is not known who you are, so you may do nothing here: %v", err))
		return false
	}
	r.caller = caller
	r.execute()
	return e.gone
}

// caller is who has connected, as the kernel noted it then. It owns no names on the bus.
func (e *entrance) caller() (*access.Caller, error) {
	peer, err := e.conn.Peer()
	if err != nil {
		return nil, err
	}
	caller, err := access.NewCaller(e.name, peer.UID, peer.GIDs, peer.PID, peer.Label)
	if err != nil {
		return nil, err
	}
	caller.SetNames()
	return caller, nil
}

func enter(r *request) {
	e, _ := r.front.(*entrance)
	if err := r.bridge.openSession(e.conn, e.name, r.caller, false); err != nil {
		r.fail(err)
		return
	}
	e.gone = true
	r.finish(resultOK)
}

// Fail implements front: the client learns why it gets no greeting.
func (e *entrance) Fail(name, text string) {
	_ = e.conn.Refuse(nil, qmpError(name, text)) // it may have left
}

// FDs implements front: those that come before the greeting are of the first request.
func (e *entrance) FDs() []int { return nil }

// TakeFDs implements front.
func (e *entrance) TakeFDs() []int { return nil }

func (e *entrance) close() {
	if !e.gone {
		_ = e.conn.Close()
	}
}

// openQMP answers with the client's end of a new session of the caller's.
func openQMP(r *request) {
	b := r.bridge
	conn, client, err := qmpserver.Pair(b.maxRequest())
	if err != nil {
		r.fail(fmt.Errorf("a QMP session can't be made: %w", err))
		return
	}
	if err := b.openSession(conn, b.sessions.newName(), r.caller, true); err != nil {
		unix.Close(client)
		_ = conn.Close()
		r.fail(err)
		return
	}
	if !b.isKnown(r.sender) { // it left meanwhile
		b.sessions.endOf(r.sender)
	}
	r.end(r.ReplyFDs("h", []int{client}, func(e *wire.Encoder) error {
		e.UnixFD(0)
		return nil
	}))
}
