package figure

import "fmt"

// Goal is what a figure shall reach.
type Goal struct {
	Of Quantity
	// AtMost is the limit, or AtLeast where that is set.
	AtMost, AtLeast float64
	// Step is the first step on the way, 0 if there is none.
	Step float64
}

// Verdict tells how reached compares with the goal: "met", "first step met" or "missed".
func (g Goal) Verdict(reached float64) string {
	switch {
	case g.holds(reached, g.limit()):
		return "met"
	case g.Step != 0 && g.holds(reached, g.Step):
		return "first step met"
	default:
		return "**missed**"
	}
}

func (g Goal) limit() float64 {
	if g.AtLeast != 0 {
		return g.AtLeast
	}
	return g.AtMost
}

func (g Goal) holds(reached, limit float64) bool {
	if g.AtLeast != 0 {
		return reached >= limit
	}
	return reached <= limit
}

// String gives the limits, such as "<= 1.05 (first step 1.15)".
func (g Goal) String() string {
	sign := "<="
	if g.AtLeast != 0 {
		sign = ">="
	}
	text := fmt.Sprintf("%s %s", sign, number(g.limit()))
	if g.Step != 0 {
		text += fmt.Sprintf(" (first step %s)", number(g.Step))
	}
	return text
}

// number writes a limit or figure as short as its size allows.
func number(v float64) string {
	switch {
	case v == float64(int64(v)):
		return fmt.Sprintf("%.0f", v)
	case v < 10:
		return fmt.Sprintf("%.2f", v)
	case v < 100:
		return fmt.Sprintf("%.1f", v)
	default:
		return fmt.Sprintf("%.0f", v)
	}
}
