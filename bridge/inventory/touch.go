package inventory

// Set is a set of queries.
type Set uint16

// All are all queries.
const All Set = 1<<Count - 1

// SetOf has the query at that index of Queries alone.
func SetOf(index int) Set { return 1 << index }

// Has tells whether the query at that index of Queries is in the set.
func (s Set) Has(index int) bool { return s&SetOf(index) != 0 }

// anything are commands that may change whatever there is.
var anything = []string{"human-monitor-command", "x-exit-preconfig"}

var (
	byEvent   = invert(func(q *Query) []string { return q.events })
	byCommand = func() map[string]Set {
		sets := invert(func(q *Query) []string { return q.commands })
		for _, name := range anything {
			sets[name] = All
		}
		return sets
	}()
	byRefusal = invert(func(q *Query) []string { return q.refused })
)

// TouchedByEvent are the queries to which QEMU may answer something else after an event.
func TouchedByEvent(name string) Set { return byEvent[name] }

// TouchedByCommand are those to which it may after a command has succeeded, and no event tells that.
func TouchedByCommand(name string) Set { return byCommand[name] }

// TouchedByRefusal are those to which it may after QEMU has refused a command.
func TouchedByRefusal(name string) Set { return byRefusal[name] }

func invert(names func(*Query) []string) map[string]Set {
	sets := map[string]Set{}
	for i := range Queries {
		for _, name := range names(&Queries[i]) {
			sets[name] |= SetOf(i)
		}
	}
	return sets
}
