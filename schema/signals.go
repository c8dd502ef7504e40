package schema

// eventArgs are the arguments of every event's signal: uniform, because the
// members of events come and go with QEMU's versions.
var eventArgs = []Arg{{Name: "data", Type: "a{sv}"}, {Name: "timestamp_us", Type: "x"}}

// Signals describes the events as signals: every event that has a member, then
// Other for those that have none, then Lost.
func (t *Table) Signals() []Signal {
	signals := make([]Signal, 0, len(t.events)+2)
	for _, e := range t.events {
		if e.member != "" {
			signals = append(signals, e.signal())
		}
	}
	return append(signals,
		Signal{Name: "Other", Args: append([]Arg{{Name: "name", Type: "s"}}, eventArgs...)},
		Signal{Name: "Lost", Args: []Arg{{Name: "count", Type: "t"}}},
	)
}

func (e event) signal() Signal {
	s := Signal{
		Name:        e.member,
		Args:        eventArgs,
		Annotations: []Annotation{{AnnotationEvent, e.name}},
	}
	s.Annotations = append(s.Annotations, marks(e.deprecated, e.unstable)...)
	return s
}
