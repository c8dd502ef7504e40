package bridge_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"
	"github.com/google/go-cmp/cmp"

	"qmp-dbus-bridge/bridge/qmpserver"
	"qmp-dbus-bridge/e2e/rig"
	"qmp-dbus-bridge/qmp/qmptest"
)

// listening is a world that runs with m as its QEMU, and a socket for QMP clients.
func listening(t testing.TB, m *machine, prepare func(*world)) (w *world, socket string) {
	t.Helper()
	w = newWorld(t, m.dial)
	if prepare != nil {
		prepare(w)
	}
	w.join()
	socket = filepath.Join(rig.TempDir(t), "qmp")
	l, err := qmpserver.Listen(socket, 0o666, -1)
	if err != nil {
		t.Fatal(err)
	}
	w.bridge.Listen(l)
	w.run()
	return w, socket
}

// qmpClient speaks QMP.
type qmpClient struct {
	tb   testing.TB
	conn net.Conn
	in   *bufio.Reader
}

// client connects to a socket.
func client(t testing.TB, u rig.User, socket string) *qmpClient {
	t.Helper()
	if u != rig.Self() {
		rig.RequireRoot(t)
	}
	conn, err := u.DialUnix(socket)
	if err != nil {
		t.Fatal(err)
	}
	return newQMPClient(t, conn)
}

func newQMPClient(t testing.TB, conn net.Conn) *qmpClient {
	t.Cleanup(func() { conn.Close() })
	return &qmpClient{t, conn, bufio.NewReader(conn)}
}

// openQMP is a session of a caller on the bus.
func (c *caller) openQMP() (*qmpClient, error) {
	c.tb.Helper()
	fd, err := c.call(vmPath, busName+".OpenQMP")
	if err != nil {
		return nil, err
	}
	file := os.NewFile(uintptr(fd.(dbus.UnixFD)), "session")
	defer file.Close()
	conn, err := net.FileConn(file)
	if err != nil {
		c.tb.Fatal(err)
	}
	return newQMPClient(c.tb, conn), nil
}

// agreed is a client past the negotiation.
func (c *qmpClient) agreed() *qmpClient {
	c.tb.Helper()
	c.want(`{"QMP": {"version": {"qemu": {"micro": 22, "minor": 2, "major": 7}, "package": "Debian 1:7.2+dfsg-7+deb12u18+b3"}, "capabilities": []}}`)
	c.send(`{"execute":"qmp_capabilities"}`)
	c.want(`{"return": {}}`)
	return c
}

func (c *qmpClient) send(text string) {
	c.tb.Helper()
	if _, err := io.WriteString(c.conn, text); err != nil {
		c.tb.Fatal(err)
	}
}

// next is a line without its end, or why there is none.
func (c *qmpClient) next() (string, error) {
	c.tb.Helper()
	if err := c.conn.SetReadDeadline(time.Now().Add(rig.Timeout)); err != nil {
		c.tb.Fatal(err)
	}
	line, err := c.in.ReadString('\n')
	return strings.TrimSuffix(line, "\r\n"), err
}

func (c *qmpClient) want(answer string) {
	c.tb.Helper()
	if got, err := c.next(); err != nil || got != answer {
		c.tb.Errorf("got %s, %v, want %s", got, err, answer)
	}
}

func (c *qmpClient) wantError(text string) {
	c.tb.Helper()
	c.want(fmt.Sprintf(`{"error": {"class": "GenericError", "desc": %q}}`, text))
}

// wantEnd is that nothing more comes.
func (c *qmpClient) wantEnd() {
	c.tb.Helper()
	if got, err := c.next(); got != "" || err == nil || os.IsTimeout(err) {
		c.tb.Errorf("got %s, %v, want the end", got, err)
	}
}

// Sessions by both ways beside a caller on the bus: each gets its own answers in order, whatever their ids, and QEMU gets what was
// asked for with arguments written anew.
func TestSessions(t *testing.T) {
	m := newMachine(t, map[string]string{`custom {"a":[1,2.5]}`: `{"b": "é"}`})
	w, socket := listening(t, m, nil)
	byBus, err := w.as(admin).openQMP()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []*qmpClient{byBus.agreed(), client(t, admin, socket).agreed(), client(t, viewer, socket).agreed()} {
		c.send(`{"execute":"query-status","id":{"x":[null]}}{"execute":"query-status", "arguments": {}, "id":"é"}` + "\n")
		c.want(`{"return": ` + running + `, "id": {"x":[null]}}`)
		c.want(`{"return": ` + running + `, "id": "é"}`)
	}
	m.commands()
	byBus.send(`{"execute":"custom","arguments": { "a" : [1, 2.5] }}`)
	byBus.want(`{"return": {"b": "é"}}`)
	if diff := cmp.Diff([]string{`custom {"a":[1,2.5]}`}, m.commands()); diff != "" {
		t.Errorf("QEMU was told (-want +got):\n%s", diff)
	}
	if _, err := w.as(admin).execute("query-status"); err != nil {
		t.Error(err)
	}
}

// What the policy denies is an error that says so, and is recorded as on the bus; QEMU learns nothing of it.
func TestSessionDenied(t *testing.T) {
	m := newMachine(t, nil)
	w, socket := listening(t, m, nil)
	c := client(t, stranger, socket)
	c.wantError("uid 8 may not do subscribe (class read): no grant or policy permits it")
	c.wantEnd()
	c = client(t, viewer, socket).agreed()
	for say, want := range map[string]string{
		`{"execute":"stop"}`:                                    "uid 1 may not do stop (class lifecycle): no grant or policy permits it",
		`{"execute":"quit","arguments":{"a":"\uffff"}}`:         "uid 1 may not do quit (class monitor-control): ",
		`{"execute":"device_add","arguments":{"driver":"x"}}`:   "uid 1 may not do device_add (class ",
		`{"execute":"no such \u0000"}`:                          "uid 1 may not do no such \uFFFD (class host): ",
		`{"execute":"query-status","arguments":{"a":"\uffff"}}`: "query-status.a: the string has the noncharacter U+FFFF",
	} {
		c.send(say)
		if got, err := c.next(); err != nil || !strings.HasPrefix(got, `{"error": {"class": "GenericError", "desc": "`+want) {
			t.Errorf("%s: %s, %v, want %s", say, got, err, want)
		}
	}
	if got := m.commands(); got != nil {
		t.Errorf("QEMU was told %q", got)
	}
	records := w.records(7)
	if r := records[0]; r.Action != "subscribe" || r.Decision != "deny" || r.Caller != ":qmp.1" || *r.UID != 8 {
		t.Errorf("record %+v of the stranger", r)
	}
	if r := records[1]; r.Action != "subscribe" || r.Decision != "allow" || r.Caller != ":qmp.2" || *r.UID != 1 || r.Result != "ok" {
		t.Errorf("record %+v of the viewer", r)
	}
	for _, r := range records[2:] {
		if r.Caller != ":qmp.2" || (r.Decision == "allow") != (r.Action == "query-status") {
			t.Errorf("record %+v", r)
		}
	}
}

// A transaction is decided for each of its actions.
func TestSessionTransaction(t *testing.T) {
	m := newMachine(t, map[string]string{"query-qmp-schema": captured(t)["qmp-schema-10.0.2-x86_64.json"]})
	_, socket := listening(t, m, func(w *world) { w.cedar = []string{backupPolicy} })
	c := client(t, helper, socket).agreed()
	const (
		own    = `{"type":"block-dirty-bitmap-add","data":{"node":"disk0","name":"b"}}`
		others = `{"type":"block-dirty-bitmap-add","data":{"node":"disk1","name":"b"}}`
	)
	c.send(`{"execute":"transaction","arguments":{"actions":[` + own + `]}}`)
	c.want(`{"return": {}}`)
	c.send(`{"execute":"transaction","arguments":{"actions":[` + own + `,` + others + `]},"id":1}`)
	if got, err := c.next(); err != nil || !strings.HasPrefix(got, `{"id": 1, "error": {"class": "GenericError", "desc": "uid 9 may not do block-dirty-bitmap-add (class `) ||
		!strings.Contains(got, "which is actions[1] of the transaction") {
		t.Errorf("%s, %v", got, err)
	}
	if got := m.commands(); len(got) != 1 {
		t.Errorf("QEMU was told %q", got)
	}
}

// What QEMU and the bridge refuse comes as QEMU's errors do.
func TestSessionErrors(t *testing.T) {
	m := newMachine(t, nil)
	m.script("custom", func(_ *qmptest.QEMU, r *qmptest.Request) { r.Fail("DeviceNotFound", "no \"x\"") })
	_, socket := listening(t, m, func(w *world) { w.limits.Arguments = 1 << 10 })
	c := client(t, admin, socket).agreed()
	arguments := func(size int) string { return `{"a":"` + strings.Repeat("x", size-len(`{"a":""}`)) + `"}` }
	for say, want := range map[string]string{
		`{"execute":"custom"}`:                                   `{"error": {"class": "DeviceNotFound", "desc": "no \"x\""}}`,
		`{"execute":"qmp_capabilities"}`:                         `{"error": {"class": "CommandNotFound", "desc": "Capabilities negotiation is already complete, command ignored"}}`,
		`{"execute":"a b"}`:                                      `{"error": {"class": "CommandNotFound", "desc": "The command \"a b\" has not been found"}}`,
		`{"execute":"getfd","id":3}`:                             `{"id": 3, "error": {"class": "GenericError", "desc": "getfd.fdname: '' can't be yours: a name is not empty, and does not begin with a digit, or with b and a digit"}}`,
		`{"execute":"add-fd"}`:                                   `{"error": {"class": "GenericError", "desc": "No file descriptor supplied via SCM_RIGHTS"}}`,
		`{"execute":"x","arguments":` + arguments(1<<10) + `}`:   `{"return": {}}`,
		`{"execute":"x","arguments":` + arguments(1<<10+1) + `}`: `{"error": {"class": "GenericError", "desc": "x: the arguments are 1025 bytes of JSON; 1024 is the most"}}`,
		`{"execute":"x","arguments":` + arguments(8<<10) + `}`:   `{"error": {"class": "GenericError", "desc": "JSON token size limit exceeded"}}`,
	} {
		c.send(say)
		c.want(want)
	}
}

// Events of class read come to all sessions, others to those who may have them, as the policy of that moment says; what
// is decided is recorded once. None comes before the negotiation.
func TestSessionEvents(t *testing.T) {
	m := newMachine(t, nil)
	w, socket := listening(t, m, nil)
	silent := client(t, admin, socket)
	asAdmin, asViewer, asHelper := client(t, admin, socket).agreed(), client(t, viewer, socket).agreed(), client(t, helper, socket).agreed()
	all := []*qmpClient{asAdmin, asViewer, asHelper}
	settle := func() { // each session is past its negotiation for sure
		for _, c := range all {
			c.send(`{"execute":"query-status"}`)
			c.want(`{"return": ` + running + `}`)
		}
	}
	settle()
	event := func(name string) string {
		m.client().Event(name, `{"a": 1}`)
		return fmt.Sprintf(`{"timestamp": {"seconds": 1700000000, "microseconds": 5}, "event": %q, "data": {"a": 1}}`, name)
	}
	told := func(clients ...*qmpClient) {
		t.Helper()
		sensitive, again := event("VNC_CONNECTED"), event("VNC_CONNECTED")
		public := event("STOP")
		for _, c := range all {
			if slices.Contains(clients, c) {
				c.want(sensitive)
				c.want(again)
			}
			c.want(public)
		}
	}
	before := len(w.records(7)) // four have come, three have asked
	told(asAdmin)
	w.bridge.SetPolicy(w.policy(`@id("news") permit (principal in Role::"helper", action == Action::"event:VNC_CONNECTED", resource);
		@id("no") forbid (principal in Role::"admin", action == Action::"event:VNC_CONNECTED", resource);`))
	told(asHelper)
	var got []string
	for _, r := range w.records(before + 3)[before:] {
		got = append(got, fmt.Sprintf("%d %s %s %s %s", *r.UID, r.Action, r.Decision, r.Policy, r.Result))
	}
	slices.Sort(got)
	if diff := cmp.Diff([]string{
		"0 event:VNC_CONNECTED allow admin ok",
		"0 event:VNC_CONNECTED deny no org.freedesktop.DBus.Error.AccessDenied",
		"9 event:VNC_CONNECTED allow news ok",
	}, got); diff != "" {
		t.Errorf("records (-want +got):\n%s", diff)
	}
	silent.agreed() // nothing but the greeting has come
}

// A QEMU that was taken over has as many events as it likes: only so many are decided, and recorded.
func TestSessionUnknownEvents(t *testing.T) {
	const maxHeard = 256
	m := newMachine(t, nil)
	w, socket := listening(t, m, nil)
	c := client(t, admin, socket).agreed()
	c.send(`{"execute":"query-status"}`)
	c.want(`{"return": ` + running + `}`)
	before := len(w.records(2))
	for n := range maxHeard + 1 {
		m.client().Event(fmt.Sprint("EVENT_", n), "")
	}
	m.client().Event(strings.Repeat("X", 256), "")
	m.client().Event("EVENT_0", "")
	for n := range maxHeard {
		if got, err := c.next(); err != nil || !strings.Contains(got, fmt.Sprintf(`"event": "EVENT_%d"`, n)) {
			t.Fatalf("%s, %v, want EVENT_%d", got, err, n)
		}
	}
	if got, err := c.next(); err != nil || !strings.Contains(got, `"EVENT_0"`) {
		t.Errorf("%s, %v, want EVENT_0", got, err)
	}
	if got := len(w.records(before + maxHeard)); got != before+maxHeard {
		t.Errorf("%d records, want %d", got, before+maxHeard)
	}
}

// A session ends when its user may have none any more, and not that of another.
func TestSessionNoLongerAllowed(t *testing.T) {
	w, socket := listening(t, newMachine(t, nil), nil)
	ends, err := w.as(viewer).openQMP()
	if err != nil {
		t.Fatal(err)
	}
	ends.agreed()
	endsToo, stays := client(t, viewer, socket).agreed(), client(t, operator, socket).agreed()
	before := len(w.records(3))
	w.bridge.SetPolicy(w.policy(`@id("none") forbid (principal in User::"1", action == Action::"subscribe", resource);`))
	ends.wantEnd()
	endsToo.wantEnd()
	for _, r := range w.records(before + 2)[before:] {
		if r.Action != "subscribe" || r.Decision != "deny" || r.Policy != "none" || *r.UID != viewer.UID {
			t.Errorf("record %+v", r)
		}
	}
	stays.send(`{"execute":"query-status"}`)
	stays.want(`{"return": ` + running + `}`)
}

// Who is refused can't have the audit filled as fast as he knocks.
func TestSessionRefusalsAreSlow(t *testing.T) {
	const refusals, pause = 10, 20 * time.Millisecond
	_, socket := listening(t, newMachine(t, nil), nil)
	began := time.Now()
	for range refusals {
		if _, err := client(t, stranger, socket).next(); err != nil {
			t.Fatal(err)
		}
	}
	if took := time.Since(began); took < (refusals-1)*pause {
		t.Errorf("%d refusals took %v", refusals, took)
	}
}

// A caller has 4 sessions by OpenQMP, a user 8, users together 12, all 16: one more is refused with the reason, and
// another takes the place of one that ends. Who says nothing holds his place and nothing else.
func TestSessionPlaces(t *testing.T) {
	const ofCaller, ofUser, ofUsers, ofAll = 4, 8, 12, 16
	refused := func(who string, most int) string {
		return fmt.Sprintf("of the QMP sessions that there may be, %s %d, which is the most; close some", who, most)
	}
	w, socket := listening(t, newMachine(t, nil), nil)
	onBus := w.as(viewer)
	var open []*qmpClient
	for range ofCaller {
		c, err := onBus.openQMP()
		if err != nil {
			t.Fatal(err)
		}
		open = append(open, c.agreed())
	}
	if _, err := onBus.openQMP(); errorName(err) != dbusError+"LimitsExceeded" || err.Error() != refused("you have", ofCaller) {
		t.Errorf("one more of a caller: %v", err)
	}
	for _, more := range []struct {
		user rig.User
		upTo int
		who  string // has all
	}{{viewer, ofUser, "your user has"}, {operator, ofUsers, "all users who are no administrators have"}, {admin, ofAll, "all callers have"}} {
		for len(open) < more.upTo {
			open = append(open, client(t, more.user, socket).agreed())
		}
		c := client(t, more.user, socket)
		c.wantError(refused(more.who, more.upTo))
		c.wantEnd()
	}
	open[ofUser].conn.Close() // the operator's
	rig.Eventually(t, "its place is free", func() bool {
		c := client(t, operator, socket)
		got, err := c.next()
		if err != nil {
			t.Fatal(err)
		}
		return strings.HasPrefix(got, `{"QMP"`)
	})
	open[0].send(`{"execute":"query-status"}`)
	open[0].want(`{"return": ` + running + `}`)
}

// A session ends with its caller on the bus, but not with another one.
func TestSessionOfLeaver(t *testing.T) {
	w, socket := listening(t, newMachine(t, nil), nil)
	leaver := w.as(admin)
	c, err := leaver.openQMP()
	if err != nil {
		t.Fatal(err)
	}
	stays, err := w.as(admin).openQMP()
	if err != nil {
		t.Fatal(err)
	}
	other := client(t, admin, socket).agreed()
	c.agreed()
	leaver.Close()
	c.wantEnd()
	for _, c := range []*qmpClient{stays.agreed(), other} {
		c.send(`{"execute":"query-status"}`)
		c.want(`{"return": ` + running + `}`)
	}
}

// QEMU goes while a command is with it: that is answered, then the session ends. Without a QEMU there is none.
func TestSessionQEMUGone(t *testing.T) {
	m := newMachine(t, nil)
	m.hold("wait", true)
	w, socket := listening(t, m, nil)
	c, idle := client(t, admin, socket).agreed(), client(t, admin, socket).agreed()
	c.send(`{"execute":"wait","id":7}{"execute":"wait"}`)
	m.nextHeld()
	m.die()
	if got, err := c.next(); err != nil || !strings.HasPrefix(got, `{"id": 7, "error": {"class": "GenericError", "desc": "QMP connection ended`) {
		t.Errorf("%s, %v", got, err)
	}
	for got, err := c.next(); err == nil; got, err = c.next() { // the second one may have begun
		if !strings.HasPrefix(got, `{"error": `) {
			t.Errorf("then %s", got)
		}
	}
	idle.wantEnd()
	none := client(t, admin, socket)
	none.wantError("there is no connection to QEMU now; watch the property Connected of org.qemu.VM1")
	none.wantEnd()
	if _, err := w.as(admin).openQMP(); errorName(err) != ourError+"Disconnected" {
		t.Errorf("OpenQMP = %v", err)
	}
	m.finish("wait", nil)
	m.listen(qmptest.Options{})
	rig.Eventually(t, "QEMU is back", func() bool { return get[bool](w.as(admin), "Connected") })
	client(t, admin, socket).agreed()
}

// The command of a session waits for a place in QEMU's queue as a caller's does, and gets one in its turn.
func TestSessionWaitsForItsTurn(t *testing.T) {
	m := newMachine(t, nil)
	m.hold("wait", true)
	w, socket := listening(t, m, nil)
	c, leaver := client(t, admin, socket).agreed(), client(t, admin, socket).agreed()
	var waiting []*qmptest.Request
	for _, n := range []int{ofASender, inFlight - ofASender} {
		w.as(admin).pipeline(n)
		for range n {
			waiting = append(waiting, m.nextHeld())
		}
	}
	leaver.send(`{"execute":"wait","id":"leaves"}`)
	leaver.conn.Close()
	c.send(`{"execute":"wait","id":"stays"}`)
	m.noneHeld()
	waiting[0].Return("{}")
	waiting = append(waiting[1:], m.nextHeld())
	waiting[0].Return("{}")
	waiting = append(waiting[1:], m.nextHeld())
	m.finish("wait", waiting)
	c.want(`{"return": {}, "id": "stays"}`)
	checkPlaces(t, m, w)
}

// Who does not take events loses the session, which is logged; nobody else notices.
func TestSessionSlow(t *testing.T) {
	var log logBuffer
	m := newMachine(t, nil)
	_, socket := listening(t, m, func(w *world) { w.log = &log })
	slow, other := client(t, admin, socket).agreed(), client(t, viewer, socket).agreed()
	for _, c := range []*qmpClient{slow, other} {
		c.send(`{"execute":"query-status"}`)
		c.want(`{"return": ` + running + `}`)
	}
	data := `{"a":"` + strings.Repeat("x", 100<<10) + `"}`
	for range 2 * qmpserver.MaxWaiting / len(data) {
		m.client().Event("VNC_CONNECTED", data) // the viewer gets none
	}
	rig.Eventually(t, "the session is ended", func() bool { return strings.Contains(log.String(), "a QMP session was ended") })
	read := 0
	for {
		line, err := slow.next()
		if err != nil {
			break
		}
		read += len(line)
	}
	if read > qmpserver.MaxWaiting {
		t.Errorf("%d bytes were kept", read)
	}
	other.send(`{"execute":"query-status"}`)
	other.want(`{"return": ` + running + `}`)
}

// The names that the caller of a session owns on the bus count as in its calls; who has come by the socket owns none.
func TestSessionBusNames(t *testing.T) {
	m := newMachine(t, nil)
	w, socket := listening(t, m, func(w *world) {
		w.cedar = []string{`permit (principal in Role::"viewer", action == Action::"stop", resource) when { principal.busNames.contains("org.example.Stopper") };`}
	})
	caller := w.as(viewer)
	c, err := caller.openQMP()
	if err != nil {
		t.Fatal(err)
	}
	c.agreed()
	stop := func(c *qmpClient) bool {
		c.send(`{"execute":"stop"}`)
		got, err := c.next()
		if err != nil {
			t.Fatal(err)
		}
		return got == `{"return": {}}`
	}
	if stop(c) {
		t.Error("it may without the name")
	}
	if _, err := caller.RequestName("org.example.Stopper", 0); err != nil {
		t.Fatal(err)
	}
	rig.Eventually(t, "it may with the name", func() bool { return stop(c) })
	if stop(client(t, viewer, socket).agreed()) {
		t.Error("another may")
	}
}
