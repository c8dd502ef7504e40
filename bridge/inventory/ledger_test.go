package inventory_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"qmp-dbus-bridge/bridge/inventory"
)

// ledger is one with words for what happens to it.
type ledger struct {
	*testing.T
	inventory.Ledger
}

// hear has an event come, and tells whether that changed something.
func (l *ledger) hear(event, data string, at int64) bool {
	note := inventory.JobEvent(event, []byte(data), at)
	return note != nil && note(&l.Ledger)
}

// status has a job change its status.
func (l *ledger) status(id string, status ...string) (changed bool) {
	for _, s := range status {
		changed = l.hear("JOB_STATUS_CHANGE", fmt.Sprintf(`{"id": %q, "status": %q}`, id, s), 5) || changed
	}
	return changed
}

// ends has a job of a block device complete, and go.
func (l *ledger) ends(id, failure string) {
	if failure != "" {
		failure = `, "error": "` + failure + `"`
	}
	l.hear("BLOCK_JOB_COMPLETED", fmt.Sprintf(`{"type": "mirror", "device": %q, "len": 8, "offset": 8, "speed": 0%s}`, id, failure), 6)
	l.status(id, "concluded", "null")
}

// reads has QEMU answer query-jobs with jobs of these statuses, each as ID=STATUS.
func (l *ledger) reads(jobs ...string) {
	l.Helper()
	var told []string
	for _, job := range jobs {
		id, status, _ := strings.Cut(job, "=")
		told = append(told, fmt.Sprintf(`{"id": %q, "type": "backup", "status": %q, "current-progress": 1, "total-progress": 2}`, id, status))
	}
	r, err := query(l.T, "query-jobs").Read([]byte("[" + strings.Join(told, ",") + "]"))
	if err != nil {
		l.Fatal(err)
	}
	if got, want := l.Read(r), l.Reading(); !cmp.Equal(show(l.T, want), show(l.T, got)) {
		l.Errorf("Read returned %v, and Reading %v", got, want)
	}
}

// shows fails unless the jobs are these, as show describes them.
func (l *ledger) shows(want ...string) {
	l.Helper()
	if diff := cmp.Diff(want, show(l.T, l.Reading())); diff != "" {
		l.Errorf("jobs (-want +got):\n%s", diff)
	}
}

// show describes jobs: id, type, status, error, by whom and since when, and which end of all that is.
func show(t *testing.T, r inventory.Reading) (jobs []string) {
	properties := query(t, "query-jobs").Kind.Properties
	for _, item := range r.Items {
		var text strings.Builder
		text.WriteString(item.ID)
		for i, p := range properties {
			switch v := decode(t, item.Values[i], p.Type).Value(); p.Name {
			case "Type", "Status", "Error":
				text.WriteString(fmt.Sprint(" ", v))
			case "StartedBy":
				if v != inventory.Nobody {
					text.WriteString(fmt.Sprint(" by ", v))
				}
			case "StartTime":
				if v != uint64(0) {
					text.WriteString(fmt.Sprint(" since ", v))
				}
			}
		}
		if item.End != 0 {
			text.WriteString(fmt.Sprint(" end ", item.End))
		}
		jobs = append(jobs, text.String())
	}
	return jobs
}

// TestLedger has jobs begin, go on and end in the order in which QEMU tells of that.
func TestLedger(t *testing.T) {
	for name, test := range map[string]func(*ledger){
		"one that dismisses itself": func(l *ledger) {
			l.status("a", "created", "running")
			l.shows()
			l.Start(7, "a")
			l.reads("a=running")
			l.shows("a backup running  by 7 since 5")
			l.ends("a", "")
			l.shows("a mirror concluded  by 7 since 5 end 1")
			l.reads()
			l.shows("a mirror concluded  by 7 since 5 end 1")
			if !l.Dismiss("a") || l.Dismiss("a") {
				l.Error("it can't be dismissed, or twice")
			}
			l.shows()
		},
		"one that QEMU keeps": func(l *ledger) {
			l.status("a", "created", "running")
			l.reads("a=running")
			l.status("a", "concluded")
			l.shows("a backup running  since 5") // until it is read how it ended
			l.reads("a=concluded")
			l.shows("a backup concluded  since 5 end 1")
			if l.Dismiss("a") {
				l.Error("QEMU has it, but it was kept")
			}
			l.status("a", "null")
			l.shows()
		},
		"one of a block device that QEMU keeps": func(l *ledger) {
			l.status("a", "created")
			l.hear("BLOCK_JOB_COMPLETED", `{"device": "a", "type": "mirror"}`, 6)
			l.status("a", "concluded")
			l.shows() // nothing was read of it, and it has not gone
			l.reads("a=concluded")
			l.shows("a backup concluded  since 5 end 1")
			l.status("a", "null")
			l.shows()
		},
		"an error": func(l *ledger) {
			l.status("a", "created")
			l.ends("a", "No space left on device")
			l.shows("a mirror concluded No space left on device since 5 end 1")
		},
		"cancelled": func(l *ledger) {
			l.reads("a=running")
			l.hear("BLOCK_JOB_CANCELLED", `{"device": "a", "type": "commit", "len": 2, "offset": 1}`, 6)
			l.status("a", "concluded", "null")
			l.shows("a commit concluded Operation canceled end 1")
		},
		"two with one id": func(l *ledger) {
			l.status("a", "created")
			l.Start(7, "a")
			l.ends("a", "x")
			l.status("a", "created")
			l.shows()
			l.ends("a", "")
			l.shows("a mirror concluded  since 5 end 2")
			l.status("a", "created")
			l.Start(8, "a")
			l.reads("a=running")
			l.shows("a backup running  by 8 since 5")
		},
		"refused": func(l *ledger) {
			l.status("a", "created", "null")
			l.shows()
			l.Start(7, "a")
			l.reads()
			l.shows()
		},
		"began before it was heard of": func(l *ledger) {
			l.reads("a=running", "b=concluded")
			l.Start(7, "a", "b")
			l.status("a", "paused")
			l.Start(7, "a", "b")
			l.shows("a backup running ", "b backup concluded ")
			l.status("b", "null")
			l.shows("a backup running ")
			l.status("a", "concluded")
			l.reads("a=concluded")
			l.shows("a backup concluded  end 1")
		},
		"somebody else's": func(l *ledger) {
			l.status("a", "created")
			l.reads("a=running")
			l.Start(7, "a") // whoever started it was answered before
			l.shows("a backup running  since 5")
			l.status("b", "created")
			l.Start(7, "a", "c")
			l.Start(8, "b")
			l.Start(9, "b")
			l.reads("a=running", "b=running")
			l.shows("a backup running  since 5", "b backup running  by 8 since 5")
			l.status("b", "null")
			l.status("c", "created")
			l.ends("c", "")
			l.reads("a=running")
			l.Start(7, "c")
			l.shows("a backup running  since 5", "c mirror concluded  since 5 end 3")
		},
		"another that nobody told of": func(l *ledger) {
			l.ends("a", "")
			l.reads("a=running")
			l.shows("a backup running ")
			l.reads()
			l.shows()
		},
		"ended and never gone": func(l *ledger) {
			l.hear("BLOCK_JOB_COMPLETED", `{"device": "a"}`, 6)
			l.reads()
			l.status("a", "null")
			l.shows()
		},
		"in the order of their paths": func(l *ledger) {
			l.reads("b=running", "d=running")
			l.ends("c", "")
			l.ends("a", "")
			l.shows("a mirror concluded  end 2", "b backup running ", "c mirror concluded  end 1", "d backup running ")
		},
		"nonsense": func(l *ledger) {
			long := strings.Repeat("x", inventory.MaxName+1)
			for _, event := range []string{"JOB_STATUS_CHANGE", "BLOCK_JOB_COMPLETED", "BLOCK_JOB_CANCELLED", "STOP"} {
				for _, data := range []string{
					"", "7", "{}", `{"id": 7}`, `{"device": ""}`, `{"id": "a", "status": "new"}`, `{"id": "a", "status": "null"}`,
					`{"id": "` + long + `", "status": "created"}`, `{"device": "` + long + `"}`,
				} {
					if l.hear(event, data, -1) {
						l.Errorf("%s %s changed something", event, data)
					}
				}
			}
			l.shows()
			l.hear("JOB_STATUS_CHANGE", `{"id": "a", "status": "created"}`, -1)
			l.hear("BLOCK_JOB_COMPLETED", `{"device": "a", "len": -1, "offset": -2, "error": "b\u0000"}`, -1)
			l.hear("JOB_STATUS_CHANGE", `{"id": "a", "status": "null"}`, -1)
			l.status("a", "null", "concluded")
			l.hear("BLOCK_JOB_COMPLETED", `{"device": "a"}`, -1)
			l.shows("a  concluded b\uFFFD end 1")
		},
	} {
		t.Run(name, func(t *testing.T) { test(&ledger{T: t}) })
	}
}

// TestLedgerChanges has what is heard show at once, or not.
func TestLedgerChanges(t *testing.T) {
	l := &ledger{T: t}
	l.reads("a=running")
	for _, step := range []struct {
		what string
		got  func() bool
		want bool
	}{
		{"a job that goes on", func() bool { return l.status("a", "paused") }, false},
		{"a job that is new", func() bool { return l.status("b", "created") }, false},
		{"whose it is", func() bool { return l.Start(1, "b") }, true},
		{"whose it is, again", func() bool { return l.Start(1, "b") }, false},
		{"a job that was read has gone", func() bool { return l.status("a", "null") }, true},
		{"a job that is not known has gone", func() bool { return l.status("a", "null") }, false},
		{"an end", func() bool { return l.hear("BLOCK_JOB_COMPLETED", `{"device": "b"}`, 0) }, true},
		{"after which it is concluded", func() bool { return l.status("b", "concluded") }, false},
		{"and gone", func() bool { return l.status("b", "null") }, true},
		{"another of that id", func() bool { return l.status("b", "created") }, true},
	} {
		if got := step.got(); got != step.want {
			t.Errorf("%s: changed = %v, want %v", step.what, got, step.want)
		}
	}
}

// TestLedgerKeeps has as many jobs end as are kept, and one more: the oldest goes.
func TestLedgerKeeps(t *testing.T) {
	l := &ledger{T: t}
	for i := range inventory.MaxKept {
		l.ends(fmt.Sprint("j", i), "")
	}
	if n := len(l.Reading().Items); n != inventory.MaxKept || !l.has("j0") {
		t.Errorf("%d are kept, the oldest: %v", n, l.has("j0"))
	}
	l.ends("more", "")
	if n := len(l.Reading().Items); n != inventory.MaxKept || l.has("j0") || !l.has("j1") || !l.has("more") {
		t.Errorf("%d are kept", n)
	}
}

// TestLedgerIsBounded has QEMU tell of more jobs than can be: it shows no more than without the events.
func TestLedgerIsBounded(t *testing.T) {
	l := &ledger{T: t}
	for i := range 2 * inventory.MaxItems {
		l.status(fmt.Sprint("j", i), "created")
	}
	most := inventory.MaxItems + inventory.MaxKept
	for i, want := range map[int]bool{most - 1: true, most: false} {
		if id := fmt.Sprint("j", i); l.Start(1, id) != want {
			t.Errorf("job %s is known: %v, want %v", id, !want, want)
		}
	}
	l.reads() // it has none of them
	l.status("another", "created")
	l.Start(1, "another")
	l.reads("another=running")
	l.shows("another backup running  by 1 since 5")
}

// has tells whether a job with that id is there.
func (l *ledger) has(id string) bool {
	for _, item := range l.Reading().Items {
		if item.ID == id {
			return true
		}
	}
	return false
}

// TestJobCommands has commands that start jobs or dismiss them, and others.
func TestJobCommands(t *testing.T) {
	for _, test := range []struct{ command, arguments, started, dismissed string }{
		{"blockdev-backup", `{"job-id": "a", "device": "b"}`, "a", ""},
		{"blockdev-backup", `{"device": "b"}`, "b", ""},
		{"blockdev-backup", `{"job-id": "", "device": "b"}`, "", ""},
		{"blockdev-backup", `{}`, "", ""},
		{"blockdev-backup", ``, "", ""},
		{"blockdev-backup", `{"job-id": 7}`, "", ""},
		{"snapshot-save", `{"job-id": "a", "tag": "t"}`, "a", ""},
		{"block-job-cancel", `{"device": "a"}`, "", ""},
		{"job-dismiss", `{"id": "a"}`, "", "a"},
		{"block-job-dismiss", `{"device": "a"}`, "", "a"},
		{"job-dismiss", `{"id": 7}`, "", ""},
		{"job-dismiss", ``, "", ""},
		{"device_del", `{"id": "a"}`, "", ""},
	} {
		started := inventory.StartedJob(test.command, []byte(test.arguments))
		dismissed := inventory.DismissedJob(test.command, []byte(test.arguments))
		if started != test.started || dismissed != test.dismissed {
			t.Errorf("%s %s starts %q, dismisses %q; want %q, %q", test.command, test.arguments, started, dismissed, test.started, test.dismissed)
		}
	}
}

// TestJobStarters has every command of the captured QEMUs that takes a job-id start a job.
func TestJobStarters(t *testing.T) {
	found := 0
	files, err := filepath.Glob("../../schema/testdata/schemas/*.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		for _, command := range commandsWith(t, file, "job-id") {
			found++
			if inventory.StartedJob(command, []byte(`{"job-id": "a"}`)) != "a" {
				t.Errorf("%s: %s has a job-id, but starts no job", file, command)
			}
		}
	}
	if found == 0 {
		t.Error("no command has a job-id")
	}
}

// commandsWith are the commands of a captured schema whose arguments have a member of that name.
func commandsWith(t *testing.T, file, member string) (names []string) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var entries []struct {
		Meta      string `json:"meta-type"`
		Name      string `json:"name"`
		Arguments string `json:"arg-type"`
		Members   []struct {
			Name string `json:"name"`
		} `json:"members"`
	}
	if err := json.Unmarshal(text, &entries); err != nil {
		t.Fatal(err)
	}
	has := map[string]bool{} // types
	for _, e := range entries {
		for _, m := range e.Members {
			has[e.Name] = has[e.Name] || m.Name == member
		}
	}
	for _, e := range entries {
		if e.Meta == "command" && has[e.Arguments] {
			names = append(names, e.Name)
		}
	}
	return names
}
