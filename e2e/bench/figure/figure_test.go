package figure_test

import (
	"strings"
	"testing"
	"time"

	"qmp-dbus-bridge/e2e/bench/figure"
)

func TestSummarize(t *testing.T) {
	var latencies []time.Duration
	for i := range 100 { // 100 us down to 1 us
		latencies = append(latencies, time.Duration(100-i)*time.Microsecond)
	}
	got := figure.Summarize(latencies, 50*time.Millisecond, 3*time.Millisecond)
	want := figure.Sample{P50: 51, P99: 100, Rate: 2000, CPU: 30}
	if got != want {
		t.Errorf("Summarize = %+v, want %+v", got, want)
	}
	if got := figure.Summarize(nil, time.Second, time.Second); got != (figure.Sample{}) {
		t.Errorf("Summarize of nothing = %+v", got)
	}
}

// A ratio is taken in each round: here the machine got slower, the rows alike.
func TestReachedIsMedianOfRatios(t *testing.T) {
	base := &figure.Row{Name: "base"}
	row := &figure.Row{Name: "row", Base: base}
	for _, slower := range []float64{1, 10, 3} {
		base.Add(figure.Sample{P50: 100 * slower, P99: 200 * slower, Rate: 1000 / slower})
		row.Add(figure.Sample{P50: 110 * slower, P99: 300 * slower, Rate: 900 / slower, CPU: 40})
	}
	for _, test := range []struct {
		of   figure.Quantity
		want float64
	}{{figure.P50, 1.1}, {figure.P99, 1.5}, {figure.Rate, 0.9}, {figure.CPU, 40}, {figure.Time, 0.33}} {
		got, ok := row.Reached(test.of)
		if !ok || got < test.want-1e-9 || got > test.want+1e-9 {
			t.Errorf("Reached(%v) = %v, %v, want %v", test.of, got, ok, test.want)
		}
	}
}

func TestReachedEvenRounds(t *testing.T) {
	row := &figure.Row{Name: "row"}
	row.Add(figure.Sample{CPU: 10})
	row.Add(figure.Sample{CPU: 20})
	if got, _ := row.Reached(figure.CPU); got != 15 {
		t.Errorf("Reached(CPU) = %v, want 15", got)
	}
}

func TestSlowDown(t *testing.T) {
	alone, flooded := &figure.Row{Name: "alone"}, &figure.Row{Name: "flooded"}
	flooded.Base = alone
	echo := &figure.Row{Name: "echo", Base: &figure.Row{Name: "echo alone"}}
	flooded.Yardstick = echo
	alone.Add(figure.Sample{P50: 100})
	flooded.Add(figure.Sample{P50: 600})
	echo.Base.Add(figure.Sample{P50: 50})
	echo.Add(figure.Sample{P50: 150})
	if got, ok := flooded.Reached(figure.SlowDown); !ok || got != 2 {
		t.Errorf("Reached(SlowDown) = %v, %v, want 2", got, ok)
	}
	if _, ok := echo.Reached(figure.SlowDown); ok {
		t.Error("a slow-down without a yardstick")
	}
}

func TestVerdict(t *testing.T) {
	atMost := figure.Goal{AtMost: 1.1, Step: 1.2}
	atLeast := figure.Goal{AtLeast: 0.9}
	for _, test := range []struct {
		goal    figure.Goal
		reached float64
		want    string
	}{
		{atMost, 1.1, "met"},
		{atMost, 1.11, "first step met"},
		{atMost, 1.21, "**missed**"},
		{atLeast, 0.9, "met"},
		{atLeast, 0.89, "**missed**"},
	} {
		if got := test.goal.Verdict(test.reached); got != test.want {
			t.Errorf("%v: Verdict(%v) = %q, want %q", test.goal, test.reached, got, test.want)
		}
	}
}

func TestTables(t *testing.T) {
	base := &figure.Row{Name: "echo"}
	get := &figure.Row{Name: "Get", Base: base, Goals: []figure.Goal{
		{Of: figure.P50, AtMost: 1.05, Step: 1.15}, {Of: figure.CPU, AtMost: 50},
	}}
	base.Add(figure.Sample{P50: 100, P99: 200})
	get.Add(figure.Sample{P50: 110, P99: 250})
	got := figure.Table([]*figure.Row{base, get})
	for _, want := range []string{
		"| echo | 100 | 200 |  |  |  |  |  |\n",
		"| Get | 110 | 250 |  | 1.10 (1.10-1.10) of echo | 1.25 |  | " +
			"p50 <= 1.05 (first step 1.15): 1.10 first step met; CPU <= 50: not measured |\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("Table gives\n%s\nwithout\n%s", got, want)
		}
	}
	const want = "| RSS | 11.5 MiB | <= 10 | **missed** |\n"
	value := figure.Value{Name: "RSS", Reached: 11.53, Unit: "MiB", Goal: &figure.Goal{AtMost: 10}}
	if got := figure.ValueTable([]figure.Value{value}); !strings.HasSuffix(got, want) {
		t.Errorf("ValueTable gives\n%s\nwant\n%s", got, want)
	}
}
