package bridge

import (
	"errors"
	"net"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"qmp-dbus-bridge/bridge/access"
	"qmp-dbus-bridge/bridge/action"
	"qmp-dbus-bridge/bridge/qmpserver"
	"qmp-dbus-bridge/bridge/quota"
	"qmp-dbus-bridge/qmp"
	"qmp-dbus-bridge/schema"
)

// session is a client that speaks QMP: each of its commands is a request as a call on the bus is one, of the same caller, and
// the next one is read when that is answered.
type session struct {
	bridge  *Bridge
	monitor *qmp.Conn // of the QEMU that the client was greeted for
	conn    *qmpserver.Conn
	name    string // in slots, and the audit's of one who is not on the bus
	caller  *access.Caller
	onBus   bool        // the caller is, by another name
	claim   quota.Claim // on its place
	hears   hearing

	woken    chan struct{} // holds one; see slots
	answered chan struct{} // holds one: nothing is left to do of a request
	ending   sync.Once
	ended    chan struct{} // closed when no more requests are to be begun
}

// forwarded is the method that a command of a session is a call of.
var forwarded = method{plan: planSession, parse: parseSession, forwards: true, run: forwardSession}

// run serves the client until it, QEMU or the bridge goes, and lets it take what waits for it.
func (s *session) run() {
	for more := true; more; {
		request, err := s.conn.Next()
		more = err == nil && s.serve(request)
	}
	s.end()
	_ = s.conn.Flush() // why it ended is no news
	s.bridge.giveBack(s.name, nil)
	s.bridge.holdings.Forget(s.name)
	if err := s.conn.Close(); err != nil {
		s.bridge.log.Error("closing a QMP session", "error", err)
	}
	s.bridge.sessions.remove(s)
}

// serve has a request go its way, and returns when it is answered, and all is done that is done with it. It is false once the session
// is to end.
func (s *session) serve(m qmpserver.Request) bool {
	x := &exchange{s, m}
	defer x.close()
	for !s.isEnding() {
		if s.begin(x) {
			<-s.answered // at the latest when the connection to QEMU ends
			return !s.isEnding()
		}
		select {
		case <-s.woken:
		case <-s.ended:
		}
	}
	return false
}

// begin is one try: by the policy, and of the caller with the names, of that moment.
func (s *session) begin(x *exchange) bool {
	if s.onBus {
		s.bridge.callers.Update(s.caller)
	}
	r := &request{
		front: x, sender: s.caller.Name, onRelease: func() { s.answered <- struct{}{} },
		bridge: s.bridge, monitor: s.monitor, method: &forwarded, caller: s.caller, policy: s.bridge.policy.Load(), began: time.Now(),
	}
	return r.begin(s.name)
}

// end has the session end once it has answered what it has begun. It does not wait.
func (s *session) end() {
	s.ending.Do(func() { close(s.ended) })
	s.conn.End()
}

// cut ends the session at once; the client does not get what waits for it.
func (s *session) cut() {
	s.end()
	s.conn.Abort(net.ErrClosed)
}

func (s *session) isEnding() bool {
	select {
	case <-s.ended:
		return true
	default:
		return false
	}
}

// wake tells serve to try again.
func (s *session) wake() {
	select {
	case s.woken <- struct{}{}:
	default: // it is told already
	}
}

// exchange is a command of a session, which is answered there.
type exchange struct {
	session *session
	qmpserver.Request
}

// Fail implements front. QMP has few classes of errors, and what is not QEMU's is of the general one.
func (x *exchange) Fail(name, text string) {
	x.session.tell(x.conn().Refuse(x.ID, qmpError(name, text)))
}

// FDs implements front.
func (x *exchange) FDs() []int { return x.Request.FDs }

// TakeFDs implements front.
func (x *exchange) TakeFDs() []int {
	fds := x.Request.FDs
	x.Request.FDs = nil
	return fds
}

// close closes the descriptors that nobody took.
func (x *exchange) close() {
	for _, fd := range x.TakeFDs() {
		_ = unix.Close(fd) // nothing was done with it
	}
}

func (x *exchange) conn() *qmpserver.Conn { return x.session.conn }

// tell takes the outcome of sending: who does not take what it is sent loses the connection.
func (s *session) tell(err error) {
	if err == nil || !errors.Is(err, qmpserver.ErrFull) {
		return
	}
	if count, doubled := s.bridge.overflows.add(1); doubled {
		s.bridge.log.Warn("a QMP session was ended, because the client did not take what it was sent", "uid", s.caller.UID, "count", count)
	}
	s.cut()
}

// exchangeOf is the one that a request of a session is.
func exchangeOf(r *request) *exchange {
	x, _ := r.front.(*exchange)
	return x
}

func planSession(r *request) *schema.Command { return r.bridge.commands().Command(exchangeOf(r).Name) }

// parseSession checks the arguments as CallJson does. A descriptor is one that came with the request, and not an argument.
func parseSession(r *request) error {
	x := exchangeOf(r)
	r.action = action.Command(x.Name)
	switch n := len(x.FDs()); {
	case n == 0:
	case fdMembers[x.Name] == nil:
		return failuref(errInvalidArgs, "%s: %d file descriptors came with the request, and it takes none; pass them with getfd or add-fd before", dbusText(x.Name), n)
	case n > 1:
		return failuref(errInvalidArgs, "%s: %d file descriptors came with the request, and it takes one", x.Name, n)
	}
	arguments, err := schema.Canonical(nil, x.Arguments, dbusText(x.Name))
	if err != nil {
		return err
	}
	return r.setCommand(x.Name, arguments)
}

func forwardSession(r *request) {
	r.forward(func(reply qmp.Reply) {
		x := exchangeOf(r)
		err := x.conn().Return(x.ID, schema.Text(reply.Return))
		if errors.Is(err, qmpserver.ErrTooLarge) {
			r.fail(failuref(errReplyLimits, "%s: %v", r.command.Name, err))
			return
		}
		x.session.tell(err)
		r.finish(resultOK)
	})
}
