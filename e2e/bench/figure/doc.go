// Package figure turns what was measured into figures: percentiles of one round, ratios
// between two rows of the same round, their median over all rounds, and a Markdown table with
// the goals beside them. It is pure: no clocks, no processes.
//
// A [Row] is one thing that is measured in every round, and each round gives it one
// [Sample]. A row may name a Base, the row it is compared with. Ratios are taken within a round,
// where both rows met the same machine, and only then is the median taken: a ratio of two
// medians would mix rounds.
//
//	echo := &figure.Row{Name: "raw echo"}
//	get := &figure.Row{Name: "Get", Base: echo, Goals: []figure.Goal{{Of: figure.P50, AtMost: 1.05}}}
//	for range rounds {
//		echo.Add(figure.Summarize(echoLatencies, wall, cpu))
//		get.Add(figure.Summarize(getLatencies, wall, cpu))
//	}
//	fmt.Print(figure.Table([]*figure.Row{echo, get}))
package figure
