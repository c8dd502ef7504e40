package bridge

import (
	"errors"
	"fmt"
	"iter"
	"time"

	"qmp-dbus-bridge/bridge/access"
	"qmp-dbus-bridge/bridge/action"
	"qmp-dbus-bridge/bridge/audit"
	"qmp-dbus-bridge/bridge/endpoint"
	"qmp-dbus-bridge/bridge/fdarg"
	"qmp-dbus-bridge/bridge/quota"
	"qmp-dbus-bridge/qmp"
	"qmp-dbus-bridge/schema"
	"qmp-dbus-bridge/schema/wire"
)

// front is where a request came in, and where it is told why it fails.
type front interface {
	// Fail answers with an error of this D-Bus name and text.
	Fail(name, text string)
	// FDs are the descriptors that came with it, which stay its own.
	FDs() []int
	// TakeFDs hands them over; those that nobody takes it closes at the end.
	TakeFDs() []int
}

// request is one call on its way: identified, then decided, then executed, answered and
// audited. A method's run ends it, now or later, by reply or fail.
type request struct {
	*endpoint.Call // nil where it did not come by the bus
	front          front
	sender         string // who the audit says it is from
	bridge         *Bridge
	monitor        *qmp.Conn // of the QEMU that the object is of, and that executes what the request is; nil while there is none
	object         *object
	method         *method
	caller         *access.Caller
	policy         *access.Authorizer // the same from the beginning to the end
	began          time.Time

	action    action.Action     // what run will do, once parse knows
	malformed error             // what parse found wrong with the arguments
	decision  access.Decision   // the zero value is a refusal
	decided   qmp.Command       // that decision is about, if it is about one
	wrapped   []access.Decision // on the commands that this one wraps, or those of guards that are allowed
	guards    []string          // commands: who may not run one gets the result without what it guards
	plan      *schema.Command   // of the command that is forwarded, if QEMU has it
	outOfBand bool              // QEMU is to execute it past the others
	slots     *slots            // where a place is taken; nil if none
	claim     quota.Claim       // the one on that place
	kept      []int             // descriptors of the call, see keepFDs
	onRelease func()            // gives back what else is held until the end; nil if nothing is
	command   qmp.Command       // of a method that forwards one
	placed    fdarg.Placed      // the descriptors among its arguments
	subject   any               // what parse found in the arguments for run
}

// Handle implements endpoint.Handler: the one path of every call.
func (b *Bridge) Handle(call *endpoint.Call) endpoint.Verdict {
	// The monitor comes before the object, so that what was found in one QEMU is never done to the next one.
	r := &request{
		Call: call, front: call, sender: call.Sender,
		bridge: b, monitor: b.monitor(), policy: b.policy.Load(), began: time.Now(),
	}
	caller, err := b.callers.Lookup(call.Sender, func() { b.wake(call.Sender) })
	if errors.Is(err, access.ErrPending) {
		return endpoint.Later
	}
	if errors.Is(err, access.ErrLimit) {
		r.answerFailure(failuref(errLimits, "too many callers are being looked up; try again later"))
		return endpoint.Accepted
	}
	if err != nil {
		b.giveBack(call.Sender, nil)
		r.decision = r.policy.Decide(nil, action.Introspect(), nil)
		r.refuse(failuref(errAccessDenied, "it is not known who you are, so you may do nothing here: %v", err))
		return endpoint.Accepted
	}
	r.caller = caller
	if err := r.resolve(); err != nil {
		b.giveBack(call.Sender, nil)
		r.explain(err)
		return endpoint.Accepted
	}
	if !r.begin(call.Sender) {
		b.recheck(call.Sender)
		return endpoint.Later
	}
	return endpoint.Accepted
}

// recheck has a call that waits for a place try again if its sender has left meanwhile, or has to be looked up again: what
// forget gave back did not have that claim yet, and nobody would take the place.
func (b *Bridge) recheck(sender string) {
	if !b.isKnown(sender) {
		b.giveBack(sender, nil)
		b.wake(sender)
	}
}

// begin executes a request of a method, unless it needs a place that it has to wait for: then nothing has happened, and
// whoever queue stands for is woken when another try is worth it. Of one queue there is one request at a time that waits.
func (r *request) begin(queue string) bool {
	slots := r.lane()
	r.bridge.giveBack(queue, slots)
	if slots != nil {
		r.claim = quota.Claim{Sender: queue, UID: r.caller.UID, Admin: r.policy.Administers(r.caller)}
		if !slots.take(&r.claim) {
			return false
		}
		r.slots = slots
	}
	r.execute()
	return true
}

// giveBack returns what a sender waits for or was granted in other lanes than this one. Only
// its first call can have asked, and QEMU may have become another since.
func (b *Bridge) giveBack(sender string, but *slots) {
	for _, s := range []*slots{b.slots, b.urgent} {
		if s != but {
			s.forget(sender)
		}
	}
}

// lane returns the slots of which the request needs one: of the commands that QEMU executes
// in turn, or of those out of band, which are there for when it is stuck; nil if it
// executes none.
func (r *request) lane() *slots {
	if !r.method.forwards && (r.method.asks == nil || !r.method.asks(r)) {
		return nil
	}
	if r.method.plan != nil {
		r.plan = r.method.plan(r)
	}
	r.outOfBand = r.plan != nil && r.plan.OutOfBand() && r.monitor != nil && r.monitor.OOB()
	if r.outOfBand {
		return r.bridge.urgent
	}
	return r.bridge.slots
}

// explain answers a call of what is not there with the reason. What there is may be told
// only to those who may ask for it.
func (r *request) explain(err error) {
	r.action = action.Introspect()
	if r.decide() {
		r.fail(err)
	}
}

// execute parses, decides and runs. The request has its slot, if it needs one. What is
// wrong with the values of the arguments is told only to those who may do what was called.
func (r *request) execute() {
	r.action = r.method.action
	if r.method.parse != nil {
		r.malformed = r.method.parse(r)
	}
	switch {
	case !r.decide():
	case r.malformed != nil:
		r.fail(r.malformed)
	default:
		r.method.run(r)
	}
}

// decide asks the policy for r.action and what it wraps, and refuses the request if any of it may not be.
func (r *request) decide() bool {
	r.decided = r.command
	r.decision = r.policy.Decide(r.caller, r.action, r.decided.Arguments)
	if r.decision.Allowed() && r.malformed == nil {
		r.wrapped, r.malformed = decideActions(r.policy, r.caller, r.decided)
		r.decideGuards()
	}
	if denied, found := r.denied(); found {
		r.bridge.noteUnevaluated(denied)
		r.refuse(r.denial(denied))
		return false
	}
	if err := r.bridge.audit.ReserveAll(1 + len(r.wrapped)); err != nil {
		r.answerFailure(failuref(errLimits, "what can't be recorded is not done: %v", err))
		r.release()
		return false
	}
	return true
}

// decideGuards decides which guarded parts of the result the caller gets. What it does not get is no refusal.
func (r *request) decideGuards() {
	for _, command := range r.guards {
		if d := r.policy.Decide(r.caller, action.Command(command), nil); d.Allowed() {
			r.wrapped = append(r.wrapped, d)
		}
	}
}

// denied finds the decision that denies the request.
func (r *request) denied() (access.Decision, bool) {
	for _, decision := range r.wrapped {
		if !decision.Allowed() {
			return decision, true
		}
	}
	return r.decision, !r.decision.Allowed()
}

// denial says why the request is refused. Who may give the command other arguments is told
// what is wrong with these.
func (r *request) denial(denied access.Decision) *failure {
	may := fmt.Sprintf("uid %d may not do %s (class %s)", r.caller.UID, dbusText(denied.Action()), denied.Class())
	switch other := r.policy.MayAllow(r.caller, r.action); {
	case len(r.wrapped) > 0:
		return failuref(errAccessDenied, "%s, which is actions[%d] of the transaction: %s", may, len(r.wrapped)-1, denied.Reason())
	case other && r.malformed != nil:
		return failureOf(r.malformed)
	case other:
		return failuref(errAccessDenied, "%s with these arguments: %s", may, denied.Reason())
	default:
		return failuref(errAccessDenied, "%s: %s%s", may, denied.Reason(), r.hint())
	}
}

// refuse ends a request that the policy does not allow.
func (r *request) refuse(f *failure) {
	r.answerFailure(f)
	for record := range r.records(f.name) {
		if err := r.bridge.audit.Write(record); err != nil {
			r.bridge.noteUnrecorded(err)
		}
	}
	r.release()
}

// reply ends a request with a result, or, where D-Bus can't carry that, with the error
// that says so.
func (r *request) reply(signature string, fill func(*wire.Encoder) error) {
	r.end(r.Reply(signature, fill))
}

// end ends a request that was answered, or could not be.
func (r *request) end(answered error) {
	if answered != nil {
		r.fail(r.replyFailure(answered))
		return
	}
	r.finish(resultOK)
}

// replyFailure names the way out for results that D-Bus can't carry.
func (r *request) replyFailure(err error) *failure {
	if own, isOwn := errors.AsType[*failure](err); isOwn {
		return own
	}
	if errors.Is(err, wire.ErrLimit) {
		return failuref(errReplyLimits, "the result of %s does not fit into a D-Bus message (%v)%s", r.action, err, r.wayOut())
	}
	return failuref(errProtocol, "the result of %s: %s", r.action, dbusText(err.Error()))
}

// wayOut names what may still give a result that is nested too deep or is too large.
func (r *request) wayOut() string {
	if r.method.Name == memberCallJSON {
		return ""
	}
	return "; CallJson gives as a string what is nested too deep"
}

// fail ends a request with an error.
func (r *request) fail(err error) {
	r.finish(r.answerFailure(err).recorded())
}

func (r *request) answerFailure(err error) *failure {
	f := failureOf(err)
	r.front.Fail(f.name, f.text)
	return f
}

// resultOK is the audit's word for a call that succeeded; others are error names.
const resultOK = "ok"

// finish records what was allowed and how it ended, and gives the slot back.
func (r *request) finish(result string) {
	for record := range r.records(result) {
		r.bridge.audit.Commit(record)
	}
	r.release()
}

// records are those of all decisions on the request.
func (r *request) records(result string) iter.Seq[audit.Record] {
	return func(yield func(audit.Record) bool) {
		record := r.record(result)
		more := yield(record)
		for i := 0; more && i < len(r.wrapped); i++ {
			record.Decision = r.wrapped[i]
			more = yield(record)
		}
	}
}

func (r *request) record(result string) audit.Record {
	return audit.Record{
		Time: r.began, Name: r.sender, Caller: r.caller,
		Decision: r.decision, Result: result, Duration: time.Since(r.began),
	}
}

// release gives back what the request holds, at its end.
func (r *request) release() {
	r.releaseSlot()
	if r.onRelease != nil {
		r.onRelease()
	}
}

// releaseSlot gives the request's slot back, once it executes no command any more.
func (r *request) releaseSlot() {
	if r.slots != nil {
		r.slots.free(r.claim)
		r.slots = nil
	}
}
