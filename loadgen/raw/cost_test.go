package raw

import (
	"runtime"
	"testing"
	"time"

	"millrace/loadgen/result"
	"millrace/loadgen/stub"
	"millrace/loadgen/workload"
)

// No allocation per request, looked at between two intervals: at their borders the collector
// encodes histograms. The stub's part is in it, too.
func TestNoAllocationPerRequest(t *testing.T) {
	for _, mode := range []string{"max", "paced", "linger", "stamped"} {
		s := startStub(t, stub.Options{})
		w := load(workload.Produce, s)
		w.Batch, w.Interval = workload.Batch{Records: 4}, time.Minute
		w.Warmup, w.Duration = 0, 1500*time.Millisecond
		switch mode {
		case "paced":
			w.Rate, w.Arrival = workload.Rate{PerSecond: 100_000}, workload.Poisson
		case "linger":
			w.Rate, w.Linger = workload.Rate{PerSecond: 100_000}, time.Millisecond
		case "stamped":
			w.Stamp = true
		}
		done := make(chan *result.Run)
		go func() { done <- mustRun(t, w) }()
		time.Sleep(400 * time.Millisecond)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		from, _, _ := s.Counts()
		time.Sleep(800 * time.Millisecond)
		to, _, _ := s.Counts()
		runtime.ReadMemStats(&after)
		whole(t, <-done)
		each := float64(after.Mallocs-before.Mallocs) / float64(to-from)
		if to-from < 3000 || each > 0.02 {
			t.Errorf("%s: %.3f allocations per request of %d", mode, each, to-from)
		}
	}
}

// The generator's own latency floor: 1 000 requests a second.
func TestLatencyFloor(t *testing.T) {
	s := startStub(t, stub.Options{})
	w := load(workload.Produce, s)
	w.Rate, w.Batch = workload.Rate{PerSecond: 1000}, workload.Batch{Records: 1}
	w.Duration, w.Interval = 2*time.Second, time.Second
	r := mustRun(t, w)
	whole(t, r)
	p50, p99 := quantile(t, r, result.Response, 0.5), quantile(t, r, result.Response, 0.99)
	t.Logf("p50 %v, p99 %v", p50, p99)
	if p50 > 2*time.Millisecond { // the machine may be shared with other tests
		t.Errorf("median %v against a broker that does nothing", p50)
	}
}
