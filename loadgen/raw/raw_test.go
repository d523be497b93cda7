package raw

import (
	"context"
	"errors"
	"testing"
	"time"

	"millrace/loadgen/ledger"
	"millrace/loadgen/result"
	"millrace/loadgen/stub"
	"millrace/loadgen/workload"
)

// startStub starts one that ends with the test.
func startStub(t testing.TB, o stub.Options) *stub.Stub {
	t.Helper()
	if o.Topics == nil {
		o.Topics = []string{"load"}
	}
	s, err := stub.Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// load is a short one of a mode on the stub.
func load(m workload.Mode, s *stub.Stub) *workload.Workload {
	w := workload.New(m)
	w.Brokers, w.Partitions = s.Addrs(), 4
	w.Warmup, w.Duration = 100*time.Millisecond, 500*time.Millisecond
	w.Interval = 100 * time.Millisecond
	return &w
}

func mustRun(t testing.TB, w *workload.Workload) *result.Run {
	t.Helper()
	r, err := Run(context.Background(), w)
	if err != nil && !errors.Is(err, ledger.ErrWrong) {
		t.Fatal(err)
	}
	if err := r.Check(); err != nil {
		t.Fatal(err)
	}
	return r
}

// whole asserts that a run went as it should.
func whole(t *testing.T, r *result.Run) {
	t.Helper()
	if r.Partial != "" || len(r.Errors) > 0 {
		t.Errorf("partial %q, errors %+v", r.Partial, r.Errors)
	}
}

func quantile(t testing.TB, r *result.Run, k result.Kind, q float64) time.Duration {
	t.Helper()
	s := r.Latencies[k]
	us, ok := s.At(q)
	if !ok {
		t.Fatalf("%s has no quantile %v of %d samples", k, q, s.Count)
	}
	return time.Duration(us * 1e3)
}

func TestProduceAsManyAsGo(t *testing.T) {
	s := startStub(t, stub.Options{})
	w := load(workload.Produce, s)
	w.Threads = 2
	r := mustRun(t, w)
	whole(t, r)
	_, messages, _ := s.Counts()
	if r.Acked == 0 || r.Acked > messages || r.Acked != 64*r.Requests {
		t.Errorf("%d messages acknowledged in %d requests, %d stored", r.Acked, r.Requests, messages)
	}
	if n := r.Latencies[result.Response].Count; n < r.Requests*9/10 || n > r.Requests*11/10+64 {
		t.Errorf("%d response latencies of %d requests", n, r.Requests)
	}
	sum := int64(0)
	for _, v := range r.Intervals {
		sum += v.Acked
	}
	if sum != r.Acked || len(r.Intervals) != 5 {
		t.Errorf("%d intervals hold %d of %d messages", len(r.Intervals), sum, r.Acked)
	}
}

func TestPacedProduceKeepsItsRate(t *testing.T) {
	for _, arrival := range []string{workload.Constant, workload.Poisson} {
		for _, linger := range []time.Duration{0, 2 * time.Millisecond} {
			s := startStub(t, stub.Options{})
			w := load(workload.Produce, s)
			w.Rate, w.Arrival, w.Linger = workload.Rate{PerSecond: 20_000}, arrival, linger
			w.Batch = workload.Batch{Records: 8}
			r := mustRun(t, w)
			whole(t, r)
			got := float64(r.Latencies[result.Response].Count)
			if linger == 0 {
				got *= 8 // one latency for a batch
			}
			if got < 9_000 || got > 11_000 {
				t.Errorf("%s, linger %v: %.0f messages of 10000", arrival, linger, got)
			}
			per := float64(r.Acked) / float64(r.Requests)
			if linger == 0 && per != 8 || linger > 0 && (per < 4 || per > 8) {
				t.Errorf("%s, linger %v: %.1f messages in a request", arrival, linger, per)
			}
		}
	}
}

func TestLingerSendsWhatThereIs(t *testing.T) {
	s := startStub(t, stub.Options{})
	w := load(workload.Produce, s)
	w.Connections, w.Linger = 1, 10*time.Millisecond
	w.Rate = workload.Rate{PerSecond: 1000} // ten messages in a linger, of 64 in a batch
	w.Duration = 1500 * time.Millisecond
	r := mustRun(t, w)
	whole(t, r)
	if per := float64(r.Acked) / float64(r.Requests); per < 5 || per > 40 {
		t.Errorf("%.1f messages in a request", per)
	}
	// Messages of a batch are due 0 to 10 ms before it leaves.
	if p50 := quantile(t, r, result.Response, 0.5); p50 < 3*time.Millisecond {
		t.Errorf("median response %v", p50)
	}
}

func TestEndToEndReadsAll(t *testing.T) {
	for _, codec := range workload.Codecs {
		s := startStub(t, stub.Options{Keep: 64 << 20})
		w := load(workload.EndToEnd, s)
		w.Partitions, w.Codec, w.Batch = 4, codec, workload.Batch{Records: 3}
		w.Groups, w.Consumers, w.Threads = 2, 2, 1
		r := mustRun(t, w)
		whole(t, r)
		// A whole run has read all that was due within it.
		n := r.Latencies[result.EndToEnd].Count
		if want := int64(2 * 2000 * w.Duration.Seconds()); n < want*98/100 || n > want*102/100 ||
			len(r.Readers) != 2 || r.Readers[0].Received == 0 {
			t.Errorf("%s: %d messages received by 2 groups, not about %d", codec, n, want)
		}
	}
}

func TestMixed(t *testing.T) {
	s := startStub(t, stub.Options{Keep: 64 << 20})
	w := load(workload.Mixed, s)
	w.Groups, w.CatchUp = 3, 1
	r := mustRun(t, w)
	whole(t, r)
	n := r.Latencies[result.EndToEnd].Count
	if n < 3*20_000/2*9/10 || r.CatchUp == 0 || len(r.Readers) != 4 {
		t.Errorf("%d acknowledged, %d received, %d by the one that catches up; %d readers", r.Acked,
			r.Received, r.CatchUp, len(r.Readers))
	}
}

func TestConsume(t *testing.T) {
	s := startStub(t, stub.Options{Keep: 64 << 20})
	w := load(workload.Produce, s)
	w.Messages, w.Warmup, w.Duration, w.Threads = 64_000, 0, time.Minute, 2
	whole(t, mustRun(t, w))
	total := int64(0)
	for p := range int32(4) {
		total += s.End("load", p)
	}
	if total < 64_000 || total > 64_000+2*64 { // two threads may both take the last one
		t.Errorf("%d messages sent of 64000", total)
	}
	w = load(workload.Consume, s)
	w.Warmup, w.Consumers = 0, 2
	r := mustRun(t, w)
	whole(t, r)
	if r.Received != total {
		t.Errorf("%d of %d messages read", r.Received, total)
	}
	w.Again, w.To = true, 1000
	if r = mustRun(t, w); r.Received < 8000 || r.Partial != "" {
		t.Errorf("%d messages of 4000 again and again: %s", r.Received, r.Partial)
	}
	w.Again, w.Duration = false, time.Minute
	if r = mustRun(t, w); r.Received < 4000 || r.Seconds > 10 || r.Partial != "" {
		t.Errorf("%d messages of 4000 in %.1f s: %s", r.Received, r.Seconds, r.Partial)
	}
}

func TestVerifyOfWhatIsRight(t *testing.T) {
	s := startStub(t, stub.Options{Keep: 64 << 20})
	w := load(workload.Verify, s)
	r := mustRun(t, w)
	whole(t, r)
	if v := r.Verified; v == nil || !v.Right() || v.Expected == 0 {
		t.Errorf("verified %+v", v)
	}
	w.ReadOnly = true
	r = mustRun(t, w)
	if v := r.Verified; v == nil || !v.Right() || v.Expected == 0 {
		t.Errorf("verified again %+v", v)
	}
}

func TestConnections(t *testing.T) {
	s := startStub(t, stub.Options{})
	w := load(workload.Connections, s)
	w.Idle, w.Slow, w.ConnectRate, w.SlowBytes = 200, 50, 2000, 4000
	w.Duration = time.Second
	r := mustRun(t, w)
	whole(t, r)
	if r.Acked == 0 || r.Latencies[result.Connect].Count == 0 {
		t.Errorf("%d acknowledged; latencies %v", r.Acked, r.Latencies)
	}
}
