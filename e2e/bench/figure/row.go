package figure

// Row is one thing that is measured in every round.
type Row struct {
	Name string
	// Base is what the row is compared with; it has a sample for the same rounds. Nil: nothing.
	Base *Row
	// Yardstick is, for SlowDown, the row whose ratio to its Base this row's is divided by.
	Yardstick *Row
	Goals     []Goal

	samples []Sample
}

// Add adds the sample of the next round.
func (r *Row) Add(s Sample) { r.samples = append(r.samples, s) }

// Quantity is one figure of a row.
type Quantity int

// The quantities. The first three are ratios to the row's Base, of the same round.
const (
	P50      Quantity = iota // of the medians of the latency
	P99                      // of the 99th percentiles
	Rate                     // of the calls per second
	SlowDown                 // P50, divided by P50 of the Yardstick
	CPU                      // microseconds of the serving process per call
	Time                     // the median latency itself, milliseconds
)

// String names the quantity as the table does.
func (q Quantity) String() string {
	return [...]string{"p50", "p99", "rate", "slow-down", "CPU", "time"}[q]
}

// Reached is the median over the rounds of a quantity of the row; ok is false where there is
// none, for want of a Base, a Yardstick or samples.
func (r *Row) Reached(q Quantity) (value float64, ok bool) {
	s, ok := r.over(q)
	return s.median, ok
}

func (r *Row) over(q Quantity) (s spread, ok bool) {
	var values []float64
	for round := range r.samples {
		if v, ok := r.in(round, q); ok {
			values = append(values, v)
		}
	}
	return spreadOf(values), len(values) > 0
}

// in is a quantity in one round.
func (r *Row) in(round int, q Quantity) (float64, bool) {
	if round >= len(r.samples) {
		return 0, false
	}
	s := r.samples[round]
	switch q {
	case CPU:
		return s.CPU, s.CPU > 0
	case Time:
		return s.P50 / 1e3, s.P50 > 0
	case SlowDown:
		return r.slowDown(round)
	}
	if r.Base == nil || round >= len(r.Base.samples) {
		return 0, false
	}
	base := r.Base.samples[round]
	switch q {
	case P99:
		return divide(s.P99, base.P99)
	case Rate:
		return divide(s.Rate, base.Rate)
	default:
		return divide(s.P50, base.P50)
	}
}

func (r *Row) slowDown(round int) (float64, bool) {
	own, ok := r.in(round, P50)
	if !ok || r.Yardstick == nil {
		return 0, false
	}
	other, ok := r.Yardstick.in(round, P50)
	if !ok {
		return 0, false
	}
	return divide(own, other)
}

// divide has no quotient where either was not measured.
func divide(a, b float64) (float64, bool) {
	if a == 0 || b == 0 {
		return 0, false
	}
	return a / b, true
}
