package inventory

import (
	"cmp"
	"encoding/json"
)

// migration is the part of QEMU's MigrationInfo that is shown.
type migration struct {
	Status   string `json:"status"`
	Error    string `json:"error-desc"`
	Downtime int64  `json:"downtime"` // ms
	RAM      struct {
		Transferred int64 `json:"transferred"` // bytes, and so are these
		Remaining   int64 `json:"remaining"`
		Total       int64 `json:"total"`
	} `json:"ram"`
	Listens []json.RawMessage `json:"socket-address"`
}

// The values of MigrationStatus that matter here.
const (
	noMigration = "none"
	completed   = "completed"
)

// settled are those in which nothing goes on: all others, and what a later QEMU may add, end without an event unless somebody
// has set the capability events.
var settled = map[string]bool{noMigration: true, completed: true, "cancelled": true, "failed": true}

// readMigration reads the one migration that there is. A QEMU before 10 that listens for one tells no status.
func readMigration(reply []byte) (Reading, error) {
	var told migration
	if err := json.Unmarshal(reply, &told); err != nil {
		return Reading{}, err
	}
	status := cmp.Or(told.Status, noMigration)
	const element = "migration"
	one := newItem(element,
		Text(status), bytesOf(told.RAM.Transferred), bytesOf(told.RAM.Remaining), bytesOf(told.RAM.Total),
		Fraction(told.progress()), bytesOf(told.Downtime), Text(told.Error))
	return Reading{Items: []Item{one}, Moving: !settled[status] || told.Status == "" && len(told.Listens) > 0}, nil
}

// progress is how much of the memory need not be sent any more. It goes back when the guest writes faster.
func (m *migration) progress() float64 {
	switch {
	case m.Status == completed:
		return 1
	case m.RAM.Total <= 0:
		return 0
	}
	return 1 - min(max(float64(m.RAM.Remaining)/float64(m.RAM.Total), 0), 1)
}

// bytesOf is a number that QEMU has as a signed one.
func bytesOf(n int64) Value { return Number(uint64(max(n, 0))) }
