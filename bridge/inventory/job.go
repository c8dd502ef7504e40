package inventory

import "math"

// job is QEMU's JobInfo.
type job struct {
	ID      string `json:"id"`
	Type    string `json:"type"`
	Status  string `json:"status"`
	Current int64  `json:"current-progress"`
	Total   int64  `json:"total-progress"`
	Error   string `json:"error"`
}

// Concluded is the JobStatus of a job that has ended.
const Concluded = "concluded"

// atWork are the values of JobStatus in which a job gets on, or its aim moves away, which no event tells.
var atWork = map[string]bool{"running": true, "ready": true}

// Nobody is the user who started a job where that is not known.
const Nobody uint32 = math.MaxUint32

// The indexes of a job's values that a Ledger looks at; query-jobs does not tell the last two.
const (
	jobStatus    = 1
	jobStartedBy = 6
	jobStartTime = 7
)

// readJobs reads the jobs, and whether any is at work.
func readJobs(reply []byte) (Reading, error) {
	moving := false
	r, err := list(func(told job) Item {
		moving = moving || atWork[told.Status]
		return readJob(told)
	})(reply)
	r.Moving = moving
	return r, err
}

func readJob(told job) Item {
	current, total := max(told.Current, 0), max(told.Total, 0)
	progress := 0.0
	switch {
	case told.Status == Concluded && told.Error == "": // also where there was nothing to do
		progress = 1
	case total > 0:
		progress = min(float64(current)/float64(total), 1)
	}
	return newItem(told.ID,
		Text(told.Type), Text(told.Status), Number(uint64(current)), Number(uint64(total)), Fraction(progress), Text(told.Error),
		Number(uint64(Nobody)), Number(0))
}
