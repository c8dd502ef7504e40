package inventory

// minSpared is how many questions a survey has to spare at best: on a q35 it costs QEMU as much as two to eight, which take it some 0.5 ms
// each, most of that for reading them byte by byte (7.2).
const minSpared = 8

// survey is one command that tells which objects of a query have the same detail. What that is, it need not tell: one of them is asked.
type survey struct {
	command   string
	arguments []byte
	kind      int            // the index of the value that those have in common
	tells     map[Value]bool // of which kinds it does
	// read finds the objects that have the same detail as others: for each of them, by id, something that is equal for those.
	read func(items []Item, reply []byte) (map[string]kinship, error)
}

// Inquiry asks for what is not known of the objects that one reply told, with as few commands as can be. Not for concurrent use, as its
// Known.
type Inquiry struct {
	known  *Known
	due    []Item // to be looked at
	survey surveyState
	since  int // of known.changes, when the query was asked

	kin      map[string]kinship // by id
	families map[kinship]*family
}

type surveyState int

const (
	unwanted surveyState = iota
	wanted
	underWay
)

// family are objects that have the same detail, for which one of them is asked.
type family struct {
	told    bool
	value   Value
	waiting []Item
}

// Question is a command that an Inquiry asks.
type Question struct {
	Command   string
	Arguments []byte

	item   Item
	survey bool
}

// Inquire begins to ask for what is not known of the objects in a reading.
func (k *Known) Inquire(items []Item) *Inquiry {
	i := &Inquiry{known: k, since: k.asked}
	if k.query.Detail == nil {
		return i
	}
	i.due = items
	if s := k.query.Detail.survey; s != nil && k.spared(items, s) >= minSpared {
		i.survey = wanted
	}
	return i
}

// spared is how many of these items a survey may spare at most: those that are not known, but one of each kind that it tells of.
func (k *Known) spared(items []Item, s *survey) (count int) {
	kinds := map[Value]bool{}
	for _, item := range items {
		if kind := item.Values[s.kind]; s.tells[kind] && !k.knows(item) {
			if kinds[kind] {
				count++
			}
			kinds[kind] = true
		}
	}
	return count
}

// Next is what is to be asked next. There may be nothing until more is answered; once all is, there is nothing more.
func (i *Inquiry) Next() (q Question, found bool) {
	switch i.survey {
	case wanted:
		s := i.known.query.Detail.survey
		i.survey = underWay
		return Question{Command: s.command, Arguments: s.arguments, survey: true}, true
	case underWay:
		return Question{}, false
	}
	for len(i.due) > 0 {
		item := i.due[0]
		i.due = i.due[1:]
		if i.known.knows(item) || i.leave(item) {
			continue
		}
		if command, arguments := i.known.query.Detail.ask(item); command != "" {
			return Question{Command: command, Arguments: arguments, item: item}, true
		}
	}
	return Question{}, false
}

// leave leaves an item to another of its family, if that was or is asked.
func (i *Inquiry) leave(item Item) bool {
	f := i.family(item)
	switch {
	case f == nil:
		return false
	case f.told:
		i.known.learn(item, f.value)
	default:
		f.waiting = append(f.waiting, item)
	}
	return true
}

// family is that of an item, if it is there and known to be as it was surveyed. The first one asks for all.
func (i *Inquiry) family(item Item) *family {
	kin, found := i.kin[item.ID]
	if !found || i.since != i.known.changes {
		return nil
	}
	f := i.families[kin]
	if f == nil {
		i.families[kin] = new(family)
	}
	return f
}

// Learn takes in what QEMU returned.
func (i *Inquiry) Learn(q Question, reply []byte) error {
	if q.survey {
		return i.learnSurvey(reply)
	}
	value, err := i.known.query.Detail.read(reply)
	if err != nil {
		i.release(q.item)
		return err
	}
	i.known.learn(q.item, value)
	f := i.family(q.item)
	if f == nil {
		i.release(q.item)
		return nil
	}
	f.told, f.value = true, value
	for _, item := range f.waiting {
		i.known.learn(item, value)
	}
	f.waiting = nil
	return nil
}

func (i *Inquiry) learnSurvey(reply []byte) (err error) {
	i.survey = unwanted
	i.families = map[kinship]*family{}
	i.kin, err = i.known.query.Detail.survey.read(i.due, reply)
	return err
}

// LearnNone takes in that QEMU has no such thing.
func (i *Inquiry) LearnNone(q Question) {
	if !q.survey {
		i.known.learnNone(q.item)
	}
	i.Miss(q)
}

// Miss takes in that there is no answer.
func (i *Inquiry) Miss(q Question) {
	if q.survey {
		i.survey = unwanted
		return
	}
	i.release(q.item)
}

// release has each be asked that was left to an item, which can't tell of others.
func (i *Inquiry) release(item Item) {
	f := i.families[i.kin[item.ID]]
	if f == nil {
		return
	}
	delete(i.families, i.kin[item.ID])
	for _, one := range f.waiting {
		delete(i.kin, one.ID)
	}
	i.due = append(f.waiting, i.due...)
}
