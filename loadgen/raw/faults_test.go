package raw

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"millrace/loadgen/ledger"
	"millrace/loadgen/result"
	"millrace/loadgen/stub"
	"millrace/loadgen/workload"
	"millrace/protocol"
	"millrace/protocol/batch"
)

// A stub that stalls for one second in ten: latency from the intended send shows it in full,
// latency from the send alone does not.
func TestStallIsInTheResponseAndNotInTheService(t *testing.T) {
	s := startStub(t, stub.Options{Every: 10 * time.Second, Stall: time.Second})
	w := load(workload.Produce, s)
	w.Rate, w.Batch = workload.Rate{PerSecond: 1000}, workload.Batch{Records: 1}
	w.InFlight, w.Connections, w.Interval = 8, 2, time.Second
	w.Warmup, w.Duration = 500*time.Millisecond, 11*time.Second
	r := mustRun(t, w)
	whole(t, r)
	response, service := quantile(t, r, result.Response, 0.99), quantile(t, r, result.Service, 0.99)
	if response < 850*time.Millisecond || response > 1100*time.Millisecond {
		t.Errorf("response p99 %v: the stall of 1 s is not in it", response)
	}
	if service > 100*time.Millisecond {
		t.Errorf("service p99 %v: only %d requests were under way", service, w.InFlight*w.Connections)
	}
	if r.Latencies[result.Response].Max < 990e3 {
		t.Errorf("the longest response took %.0f µs", r.Latencies[result.Response].Max)
	}
	if r.Void != "" {
		t.Errorf("void for what the broker did: %s", r.Void)
	}
}

// A stall that has not ended when the measurement does is in the figures all the same.
func TestStallAtTheEndIsNotForgotten(t *testing.T) {
	t.Parallel()
	s := startStub(t, stub.Options{})
	w := load(workload.Produce, s)
	w.Rate, w.Batch = workload.Rate{PerSecond: 1000}, workload.Batch{Records: 1}
	w.InFlight, w.Duration = 1000, time.Second
	time.AfterFunc(600*time.Millisecond, func() { s.Hold(time.Second) })
	r := mustRun(t, w)
	whole(t, r)
	if most := r.Latencies[result.Response].Max; most < 900e3 {
		t.Errorf("longest response %.0f µs: answers that came in the drain were left out", most)
	}
	// What was due and answered in the warm-up is left out; all the rest is there.
	if n := r.Latencies[result.Response].Count; n < 980 || n > 1020 {
		t.Errorf("%d latencies of 1000 messages", n)
	}
}

func TestTopicDeletedMeanwhile(t *testing.T) {
	t.Parallel()
	for _, mode := range []workload.Mode{workload.Produce, workload.Consume, workload.EndToEnd} {
		s := startStub(t, stub.Options{Keep: 1 << 20})
		w := load(mode, s)
		w.Duration, w.FetchWait = time.Minute, 100*time.Millisecond
		time.AfterFunc(400*time.Millisecond, func() { s.Delete("load") })
		began := time.Now()
		r := mustRun(t, w)
		if !strings.Contains(r.Partial, "topic load is gone") || time.Since(began) > 20*time.Second {
			t.Errorf("%s: partial %q after %v", mode, r.Partial, time.Since(began))
		}
		if mode != workload.Consume && r.Acked == 0 {
			t.Errorf("%s: nothing is left of what was measured before", mode)
		}
		if len(r.Errors) == 0 || r.Errors[0].Code != int(protocol.UnknownTopicOrPartition) {
			t.Errorf("%s: errors %+v", mode, r.Errors)
		}
	}
}

func TestErrorCodes(t *testing.T) {
	t.Parallel()
	s := startStub(t, stub.Options{})
	w := load(workload.Produce, s)
	w.Warmup, w.Duration = 0, 2*time.Second
	// One that may pass: counted, and the load goes on.
	time.AfterFunc(300*time.Millisecond, func() { s.Refuse(protocol.Produce, protocol.NotEnoughReplicas) })
	time.AfterFunc(600*time.Millisecond, func() { s.Refuse(protocol.Produce, protocol.None) })
	r := mustRun(t, w)
	if r.Partial != "" || len(r.Errors) != 1 || r.Errors[0].Count == 0 ||
		r.Errors[0].Name != "NOT_ENOUGH_REPLICAS" || ackedSince(r, 0.7) == 0 {
		t.Errorf("partial %q, errors %+v", r.Partial, r.Errors)
	}
	if n := r.Errors[0].Count; n > 20_000 { // 32 requests in flight, 20 ms apart: 500
		t.Errorf("%d errors in 0.3 s: the load runs hot", n)
	}
	// One that will not: the end.
	s.Refuse(protocol.Produce, protocol.MessageTooLarge)
	if r = mustRun(t, w); !strings.Contains(r.Partial, "MESSAGE_TOO_LARGE") || r.Acked != 0 {
		t.Errorf("partial %q, %d acknowledged", r.Partial, r.Acked)
	}
}

// ackedSince is how many messages were acknowledged in the intervals from a time on.
func ackedSince(r *result.Run, at float64) (n int64) {
	for _, v := range r.Intervals {
		if v.At >= at {
			n += v.Acked
		}
	}
	return n
}

func TestLeadersMove(t *testing.T) {
	t.Parallel()
	s := startStub(t, stub.Options{Listen: []string{"127.0.0.1:0", "127.0.0.1:0"}, Keep: 64 << 20})
	w := load(workload.Verify, s)
	w.Duration = 2 * time.Second
	time.AfterFunc(400*time.Millisecond, func() { s.Lead("load", 0, 1) })
	time.AfterFunc(800*time.Millisecond, func() {
		for p := range int32(4) {
			s.Lead("load", p, 1)
		}
	})
	r := mustRun(t, w)
	if r.Partial != "" || r.Verified.Missing > 0 || r.Verified.Duplicates > 0 ||
		r.Verified.Damaged > 0 || r.Verified.Expected == 0 {
		t.Errorf("partial %q, verified %+v", r.Partial, r.Verified)
	}
	if len(r.Errors) == 0 || ackedSince(r, 1) == 0 {
		t.Errorf("errors %+v; nothing came after the leaders had moved", r.Errors)
	}
}

func TestBrokerDiesAndComesBack(t *testing.T) {
	t.Parallel()
	s := startStub(t, stub.Options{Listen: []string{"127.0.0.1:0", "127.0.0.1:0"}, Keep: 64 << 20})
	w := load(workload.EndToEnd, s)
	w.Duration, w.Connections = 3*time.Second, 2
	time.AfterFunc(500*time.Millisecond, func() {
		s.Kill(1)
		time.Sleep(700 * time.Millisecond)
		if err := s.Revive(1); err != nil {
			t.Error(err)
		}
	})
	r := mustRun(t, w)
	if r.Partial != "" || len(r.Errors) == 0 || ackedSince(r, 1.5) == 0 {
		t.Errorf("partial %q, errors %+v", r.Partial, r.Errors)
	}
	if most := r.Latencies[result.Response].Max; most < 500e3 {
		t.Errorf("longest response %.0f µs: messages due while the broker was away left late", most)
	}
}

func TestBrokerDiesForGood(t *testing.T) {
	t.Parallel()
	s := startStub(t, stub.Options{})
	w := load(workload.Produce, s)
	w.Duration = time.Minute
	time.AfterFunc(500*time.Millisecond, func() { s.Kill(0) })
	r := mustRun(t, w)
	if r.Partial == "" || r.Acked == 0 || r.Seconds > 30 {
		t.Errorf("partial %q after %.1f s, %d acknowledged", r.Partial, r.Seconds, r.Acked)
	}
}

func TestBrokerHangs(t *testing.T) {
	t.Parallel()
	s := startStub(t, stub.Options{})
	w := load(workload.Produce, s)
	w.Duration = time.Minute
	r, err := newRun(w)
	if err != nil {
		t.Fatal(err)
	}
	r.hungAfter = time.Second
	if err := r.prepare(context.Background(), nil); err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(500*time.Millisecond, func() { s.Hold(5 * time.Second) })
	r.drive(context.Background())
	out, err := r.conclude()
	if err != nil || !strings.Contains(out.Partial, "no answer for 1s") || out.Acked == 0 {
		t.Errorf("%v; partial %q, %d acknowledged", err, out.Partial, out.Acked)
	}
}

func TestNobodyThere(t *testing.T) {
	s := startStub(t, stub.Options{})
	w := load(workload.Produce, s)
	s.Kill(0)
	if _, err := Run(context.Background(), w); err == nil || !strings.Contains(err.Error(), "cannot be reached") {
		t.Errorf("error %v", err)
	}
}

func TestStopped(t *testing.T) {
	s := startStub(t, stub.Options{})
	w := load(workload.Produce, s)
	w.Duration = time.Minute
	ctx, cancel := context.WithCancel(context.Background())
	time.AfterFunc(400*time.Millisecond, cancel)
	r, err := Run(ctx, w)
	if err != nil || !strings.Contains(r.Partial, "stopped") || r.Acked == 0 || r.Seconds > 5 {
		t.Errorf("%v; partial %q", err, r.Partial)
	}
}

func TestWithoutAcks(t *testing.T) {
	for _, rate := range []float64{0, 5000} {
		s := startStub(t, stub.Options{})
		w := load(workload.Produce, s)
		w.Acks, w.Rate = 0, workload.Rate{PerSecond: rate}
		r := mustRun(t, w)
		whole(t, r)
		if _, messages, _ := s.Counts(); r.Sent == 0 || messages < r.Sent {
			t.Errorf("rate %v: %d messages sent, %d stored", rate, r.Sent, messages)
		}
		if rate > 0 && (r.Sent < 2000 || r.Sent > 3000 || r.Latencies[result.Delay].Count == 0) {
			t.Errorf("%d messages sent at %v/s", r.Sent, rate)
		}
	}
}

// What a broker does wrong with messages, and which figure must say so.
func TestVerifyFinds(t *testing.T) {
	t.Parallel()
	faults := map[string]func(v batch.View, held *batch.View) []batch.View{
		"lost":  func(batch.View, *batch.View) []batch.View { return nil },
		"twice": func(v batch.View, _ *batch.View) []batch.View { return []batch.View{v, v} },
		"damaged": func(v batch.View, _ *batch.View) []batch.View {
			own := append(batch.View(nil), v...)
			own[len(own)-5] ^= 1 // within the last value
			return []batch.View{own}
		},
		"late": func(v batch.View, held *batch.View) []batch.View {
			*held = append(batch.View(nil), v...)
			return nil
		},
	}
	wrong := map[string]func(v *result.Verified) int64{
		"lost":    func(v *result.Verified) int64 { return v.Missing },
		"twice":   func(v *result.Verified) int64 { return v.Duplicates },
		"damaged": func(v *result.Verified) int64 { return v.Damaged },
		"late":    func(v *result.Verified) int64 { return v.Disordered },
	}
	for name, fault := range faults {
		count, held := 0, batch.View(nil) // of this stub: the last one may still be at work
		s := startStub(t, stub.Options{Keep: 64 << 20, Partitions: 1,
			Store: func(_ string, _ int32, v batch.View) []batch.View {
				count++
				switch {
				case count == 20:
					return fault(v, &held)
				case held != nil:
					out := []batch.View{v, held}
					held = nil
					return out
				}
				return []batch.View{v}
			}})
		w := load(workload.Verify, s)
		w.Partitions, w.Connections, w.InFlight = 1, 1, 4
		w.Rate, w.Batch = workload.Rate{PerSecond: 1000}, workload.Batch{Records: 4}
		r, err := Run(context.Background(), w)
		if !errors.Is(err, ledger.ErrWrong) {
			t.Fatalf("%s: error %v, verified %+v", name, err, r.Verified)
		}
		if r.Verified.Right() || wrong[name](r.Verified) != 4 && !(name == "damaged" && wrong[name](r.Verified) == 1) {
			t.Errorf("%s: verified %+v", name, r.Verified)
		}
	}
}
