package figure

import (
	"slices"
	"time"
)

// Sample is what one round gave for one row. A zero field was not measured.
type Sample struct {
	P50, P99 float64 // microseconds
	Rate     float64 // per second of wall time
	CPU      float64 // microseconds of the serving process, per call
}

// Summarize makes a sample of the latencies of all calls of a round, which it sorts, the time
// from the first to the last, and the CPU time that they took the process that served
// them; wall and cpu may be 0. Of no latencies it makes the zero Sample.
func Summarize(latencies []time.Duration, wall, cpu time.Duration) Sample {
	n := len(latencies)
	if n == 0 {
		return Sample{}
	}
	slices.Sort(latencies)
	s := Sample{
		P50: micros(latencies[n/2]),
		P99: micros(latencies[n*99/100]),
		CPU: micros(cpu) / float64(n),
	}
	if wall > 0 {
		s.Rate = float64(n) / wall.Seconds()
	}
	return s
}

func micros(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e3 }

// spread is the median of some values, between the least and the greatest of them.
type spread struct{ low, median, high float64 }

func spreadOf(values []float64) spread {
	if len(values) == 0 {
		return spread{}
	}
	sorted := slices.Sorted(slices.Values(values))
	middle := len(sorted) / 2
	median := sorted[middle]
	if len(sorted)%2 == 0 {
		median = (sorted[middle-1] + median) / 2
	}
	return spread{sorted[0], median, sorted[len(sorted)-1]}
}
