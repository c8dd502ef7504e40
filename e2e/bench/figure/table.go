package figure

import (
	"fmt"
	"strings"
)

// Table writes the rows as a Markdown table: medians over the rounds; behind a ratio,
// its least and greatest of any round, which shows how noisy the machine was.
func Table(rows []*Row) string {
	var b strings.Builder
	b.WriteString("| row | p50 us | p99 us | calls/s | ratio p50 (least-greatest) | ratio p99 | CPU us/call | goals |\n")
	b.WriteString("|---|--:|--:|--:|---|--:|--:|---|\n")
	for _, r := range rows {
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s | %s | %s |\n", r.Name,
			r.plain(func(s Sample) float64 { return s.P50 }),
			r.plain(func(s Sample) float64 { return s.P99 }),
			r.plain(func(s Sample) float64 { return s.Rate }),
			r.ratio(), r.median(P99), r.median(CPU), r.goals())
	}
	return b.String()
}

// plain is the median over the rounds of a field of the samples, rounded to a whole number.
func (r *Row) plain(of func(Sample) float64) string {
	var values []float64
	for _, s := range r.samples {
		if v := of(s); v > 0 {
			values = append(values, v)
		}
	}
	if len(values) == 0 {
		return ""
	}
	return fmt.Sprintf("%.0f", spreadOf(values).median)
}

func (r *Row) ratio() string {
	s, ok := r.over(P50)
	if !ok {
		return ""
	}
	return fmt.Sprintf("%s (%s-%s) of %s", number(s.median), number(s.low), number(s.high), r.Base.Name)
}

func (r *Row) median(q Quantity) string {
	v, ok := r.Reached(q)
	if !ok {
		return ""
	}
	return number(v)
}

// goals lists every goal of the row with what was reached.
func (r *Row) goals() string {
	var all []string
	for _, g := range r.Goals {
		reached, ok := r.Reached(g.Of)
		if !ok {
			all = append(all, fmt.Sprintf("%v %v: not measured", g.Of, g))
			continue
		}
		all = append(all, fmt.Sprintf("%v %v: %s %s", g.Of, g, number(reached), g.Verdict(reached)))
	}
	return strings.Join(all, "; ")
}

// Value is a figure that is taken once, with its goal.
type Value struct {
	Name    string
	Reached float64
	Unit    string
	Goal    *Goal // Of is not looked at; nil: no goal
}

// ValueTable writes values as a Markdown table.
func ValueTable(values []Value) string {
	var b strings.Builder
	b.WriteString("| what | reached | goal | |\n|---|--:|---|---|\n")
	for _, v := range values {
		goal, verdict := "", ""
		if v.Goal != nil {
			goal, verdict = v.Goal.String(), v.Goal.Verdict(v.Reached)
		}
		fmt.Fprintf(&b, "| %s | %s %s | %s | %s |\n", v.Name, number(v.Reached), v.Unit, goal, verdict)
	}
	return b.String()
}
