package e2e_test

import (
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/godbus/dbus/v5"

	"qmp-dbus-bridge/e2e/rig"
)

// TestAttackReload has a helper call without a pause while the policy is swapped under it, 20 times: each
// call is decided by one policy or the other, what is answered as denied was not executed, and once the bridge
// shows the new policy nothing is decided by the old one.
func TestAttackReload(t *testing.T) {
	policies := map[bool]string{
		true:  `@id("write") permit (principal in Role::"helper", action == Action::"ringbuf-write", resource);`,
		false: `@id("read") permit (principal in Role::"helper", action == Action::"ringbuf-read", resource);`,
	}
	var file string
	flags := func(t testing.TB, dir string) []string {
		file = dir + "/helper.cedar"
		writePolicy(t, file, policies[false])
		return []string{"--policy", file}
	}
	besiegeWith(t, flags, func(t *testing.T, s *siege) {
		var allowed atomic.Int64
		write := func(conn *dbus.Conn) string {
			_, err := qmp(conn, "ringbuf-write", map[string]any{"device": "ring", "data": "x"})
			if err == nil {
				allowed.Add(1)
				return ""
			}
			return errorName(err)
		}
		var calling sync.WaitGroup
		stop := make(chan struct{})
		for range 2 {
			conn := helper.MustDial(t, s.address)
			calling.Go(func() {
				for {
					select {
					case <-stop:
						return
					default:
					}
					if got := write(conn); got != "" && got != dbusError+"AccessDenied" {
						t.Errorf("ringbuf-write: %s", got)
						return
					}
				}
			})
		}
		conn := helper.MustDial(t, s.address)
		hash := get[string](t, s.witness, "PolicyHash")
		for n := range 20 {
			allow := n%2 == 0
			writePolicy(t, file, policies[allow])
			s.Signal(t, syscall.SIGHUP)
			rig.Eventually(t, "the bridge shows the new policy", func() bool { return get[string](t, s.witness, "PolicyHash") != hash })
			hash = get[string](t, s.witness, "PolicyHash")
			want := map[bool]string{true: "", false: dbusError + "AccessDenied"}[allow]
			if got := write(conn); got != want {
				t.Errorf("ringbuf-write under policy %d: %q, want %q", n, got, want)
			}
		}
		close(stop)
		calling.Wait()
		if n := len(s.executed()); int64(n) != allowed.Load() {
			t.Errorf("QEMU was told %d commands, and %d were allowed", n, allowed.Load())
		}
	})
}

// writePolicy replaces a policy file as an editor does: a new file under the old name.
func writePolicy(t testing.TB, file, text string) {
	t.Helper()
	if err := os.WriteFile(file+".new", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(file+".new", file); err != nil {
		t.Fatal(err)
	}
}
