package bridge

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"qmp-dbus-bridge/bridge/helper"
	"qmp-dbus-bridge/bridge/inventory"
	"qmp-dbus-bridge/qmp"
)

// What the option helpers of Migration.Start says about helpers that are not ready.
const (
	helpersOption = "helpers"
	refuseHelpers = "refuse" // the default
	warnOfHelpers = "warn"
)

// maxUnready is how many Ids or helpers an error tells of, to keep it readable.
const maxUnready = 8

// whenHelpersAreReady calls then if QEMU will be able to migrate the state of helpers, as far as can be seen, or the caller has said that
// it does not matter. Else it ends the request. A migration that is resumed has done that already.
func (r *request) whenHelpersAreReady(option string, then func()) {
	if err := r.forwardable(); err != nil {
		r.fail(err)
		return
	}
	if resumes(r.decided) {
		then()
		return
	}
	judge := func(v verdictOfHelpers) {
		switch {
		case v.unready == "":
			then()
		case v.fatal:
			r.fail(failuref(errHelpersNotReady, "%s", v.unready))
		case option == warnOfHelpers:
			r.bridge.log.Warn("a migration begins though helpers are not ready", "reason", v.unready)
			then()
		default:
			r.fail(failuref(errHelpersNotReady, "%s; the option %s=%s begins it all the same", v.unready, helpersOption, warnOfHelpers))
		}
	}
	lookForVMState(r.monitor, func(v vmstate, err error) {
		switch {
		case errors.Is(err, qmp.ErrClosed):
			r.fail(err)
		case err != nil:
			judge(verdictOfHelpers{unready: fmt.Sprintf("QEMU does not tell whether it migrates the state of helpers: %s", dbusText(forLog(err).Error()))})
		default:
			r.bridge.judgeHelpers(v, judge)
		}
	})
}

// verdictOfHelpers is what would go wrong, and what to do; empty if nothing. fatal: QEMU itself would not survive it.
type verdictOfHelpers struct {
	unready string
	fatal   bool
}

// resumes tells whether a migrate goes on with a migration whose helpers have told their state.
func resumes(migrate qmp.Command) bool {
	var arguments struct {
		Resume bool `json:"resume"`
	}
	return json.Unmarshal(migrate.Arguments, &arguments) == nil && arguments.Resume
}

// judgeHelpers calls judge with the verdict on helpers whose state QEMU migrates by that object; empty also if it is not of this bus,
// so that nobody knows.
func (b *Bridge) judgeHelpers(v vmstate, judge func(verdictOfHelpers)) {
	here := v.id != "" && v.ours(b.address)
	switch {
	case !here && b.config.VMState != nil:
		judge(verdictOfHelpers{unready: "QEMU has no object " + vmstateType + " on this bus, so the state of helpers would not migrate: the bridge's log tells why it could not add one"})
	case !here:
		judge(verdictOfHelpers{})
	default:
		b.helpers.Look(func(seen helper.View) { judge(readiness(seen, v.ids)) })
	}
}

// readiness judges by who queues and by the object's id-list: only these count, and the first of two that claim one; without it all
// count, and at two of one Id QEMU frees it twice (7.2.22, 10.0.2). One that answers nothing it waits for in either case, for 25 s; one
// without an Id it leaves out, or fails at (5.2) (backends/dbus-vmstate.c).
func readiness(seen helper.View, ids string) (v verdictOfHelpers) {
	have := map[string]int{}
	var silent []string
	for _, h := range seen.Queue {
		if have[h.ID]++; h.ID == "" {
			silent = append(silent, fmt.Sprintf("%s (uid %d, %s)", h.Unique, h.UID, dbusText(h.Untold)))
		}
	}
	delete(have, "")
	missing := missingOf(ids, have)
	maps.DeleteFunc(have, func(_ string, n int) bool { return n < 2 })
	switch {
	case !seen.Known:
		v.unready = "it is not known who queues for " + helper.VMStateName + ": the bus must let the bridge's user call ListQueuedOwners"
	case ids == "" && len(have) > 0:
		v.fatal = true
		v.unready = fmt.Sprintf("several helpers have the Id %s, at which QEMU would crash: end all but one, or give QEMU's %s an id-list", some(quoted(slices.Sorted(maps.Keys(have)))), vmstateType)
	case seen.Unseen > 0:
		v.fatal = ids == ""
		v.unready = fmt.Sprintf("of those that queue for %s %d are not looked at, since there are more than %d, or than %d of one user, or the bus does not tell whose they are, so the state of helpers may not migrate", helper.VMStateName, seen.Unseen, helper.MaxHelpers, helper.MaxOfUser)
		if v.fatal {
			v.unready += fmt.Sprintf(", and QEMU would crash where two have one Id: end some, or give QEMU's %s an id-list", vmstateType)
		} else {
			v.unready += ": end some"
		}
	case len(missing) > 0:
		v.unready = fmt.Sprintf("no helper on the bus has the Id %s, which the id-list of QEMU's %s names, so the migration would fail at its end: start that helper", some(missing), vmstateType)
	case len(silent) > 0:
		text := "the helper %s queues for %s and does not tell its Id, so QEMU may wait for it while the guest stands still, and leaves its state behind: end it, or see why it does not"
		if len(silent) > 1 {
			text = "the helpers %s queue for %s and do not tell their Ids, so QEMU may wait for them while the guest stands still, and leaves their state behind: end them, or see why they do not"
		}
		v.unready = fmt.Sprintf(text, some(silent), helper.VMStateName)
	}
	return v
}

// missingOf are the Ids of an id-list that nobody has.
func missingOf(ids string, have map[string]int) (missing []string) {
	if ids == "" {
		return nil
	}
	for id := range strings.SplitSeq(ids, ",") {
		if have[id] == 0 && len(missing) <= maxUnready {
			missing = append(missing, id)
		}
	}
	return quoted(missing)
}

func quoted(ids []string) (list []string) {
	for _, id := range ids {
		list = append(list, fmt.Sprintf("%q", inventory.Text(id).String()))
	}
	return list
}

// some lists the first few.
func some(list []string) string {
	more := ""
	if len(list) > maxUnready {
		list, more = list[:maxUnready], " and others"
	}
	return strings.Join(list, ", ") + more
}
