package measure

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"millrace/loadgen/result"
)

// watcher keeps what observers are told.
type watcher struct {
	mu  sync.Mutex
	all []result.Interval
}

func (w *watcher) Interval(v result.Interval) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.all = append(w.all, v)
}

// drive calls f about every millisecond, with the recorder's turns, until the measurement is over.
func drive(m *Measurement, r *Recorder, f func(now int64)) {
	for {
		now := m.Now()
		r.Turn(now)
		if m.Over(now) {
			return
		}
		f(now)
		time.Sleep(time.Millisecond)
	}
}

func TestIntervalsAreTheWhole(t *testing.T) {
	w := &watcher{}
	m := New(Options{Warmup: 150 * time.Millisecond, Duration: 500 * time.Millisecond,
		Interval: 100 * time.Millisecond, Observers: []result.Observer{w}})
	a, b := m.Recorder(Response, EndToEnd), m.Recorder(Response)
	m.Begin()
	var before [2]int64 // counted in the warm-up
	var total [2]int64
	var done sync.WaitGroup
	for i, r := range []*Recorder{a, b} {
		done.Go(func() {
			drive(m, r, func(now int64) {
				total[i]++
				if now < m.Start() {
					before[i]++
				}
				r.Acked++
				r.AckedBytes += 10
				r.InFlight = int64(i + 1)
				r.Record(Response, now-int64(time.Millisecond), now)
			})
			r.Close()
		})
	}
	done.Wait()
	run := m.Result()
	if err := run.Check(); err != nil {
		t.Fatal(err)
	}
	want := total[0] + total[1] - before[0] - before[1]
	if run.Acked != want || run.AckedBytes != 10*want {
		t.Errorf("%d counted, %d happened within the measurement", run.Acked, want)
	}
	sum, latencies := int64(0), int64(0)
	for _, v := range run.Intervals {
		sum += v.Acked
		latencies += v.Latencies[result.Response].Count
	}
	if len(run.Intervals) != 5 || sum != want || latencies != run.Latencies[result.Response].Count {
		t.Errorf("%d intervals with %d of %d, %d latencies of %d", len(run.Intervals), sum, want,
			latencies, run.Latencies[result.Response].Count)
	}
	// What was due in the warm-up and answered in the measurement is in neither: one a thread.
	if latencies < want-10 || latencies > want {
		t.Errorf("%d latencies of %d messages", latencies, want)
	}
	warm := 0
	for _, v := range w.all {
		if v.Warmup {
			warm++
			if v.At >= 0 {
				t.Errorf("an interval of the warm-up begins at %v", v.At)
			}
		}
	}
	if warm != 2 || len(w.all) != 7 || w.all[4].InFlight != 3 {
		t.Errorf("%d intervals of the warm-up of %d; %d in flight", warm, len(w.all), w.all[4].InFlight)
	}
	if run.Seconds < 0.49 || run.Seconds > 0.51 || run.Generator == nil || run.Machine == nil {
		t.Errorf("run %+v", run)
	}
}

// Answers of the drain are in the run and in its last interval; its counters are not.
func TestDrain(t *testing.T) {
	m := New(Options{Duration: 100 * time.Millisecond, Interval: 50 * time.Millisecond})
	r := m.Recorder(Response)
	m.Begin()
	due := int64(0)
	drive(m, r, func(now int64) { due = now })
	time.Sleep(50 * time.Millisecond)
	r.Acked++
	r.Record(Response, due, m.Now())
	r.Fail(7, "LATE", "an error")
	r.Close()
	run := m.Result()
	last := run.Intervals[len(run.Intervals)-1]
	if run.Acked != 0 || run.Latencies[result.Response].Count != 1 || last.Errors != 1 ||
		last.Latencies[result.Response].Count != 1 || last.Latencies[result.Response].Max < 49e3 {
		t.Errorf("acked %d, last %+v", run.Acked, last)
	}
	if len(run.Errors) != 1 || run.Errors[0].Count != 1 || run.Errors[0].Code != 7 {
		t.Errorf("errors %+v", run.Errors)
	}
}

func TestSharedNeedsNoTurns(t *testing.T) {
	m := New(Options{Warmup: 50 * time.Millisecond, Duration: 300 * time.Millisecond,
		Interval: 100 * time.Millisecond})
	s := m.Shared(Response)
	m.Begin()
	var done sync.WaitGroup
	for range 4 {
		done.Go(func() {
			for !m.Over(m.Now()) {
				s.Do(func(r *Recorder) {
					r.Acked++
					r.Record(Response, m.Now(), m.Now())
				})
				time.Sleep(time.Millisecond)
			}
		})
	}
	done.Wait()
	s.Close()
	s.Do(func(*Recorder) { t.Error("a closed recorder was written to") })
	run := m.Result()
	if len(run.Intervals) != 3 || run.Acked < 100 || run.Intervals[1].Acked == 0 {
		t.Errorf("%d acknowledged in %d intervals", run.Acked, len(run.Intervals))
	}
}

func TestEndsEarly(t *testing.T) {
	for _, o := range []Options{
		{Duration: time.Minute, Messages: 50},
		{Duration: time.Minute, MaxBytes: 500},
		{Duration: time.Minute, Messages: 50, Reading: true},
		{Duration: time.Minute, Warmup: 20 * time.Millisecond, Messages: 50},
	} {
		m := New(o)
		r := m.Recorder(Response)
		m.Begin()
		drive(m, r, func(int64) {
			if o.Reading {
				r.Received++
				r.ReceivedBytes += 10
			} else {
				r.Acked++
				r.AckedBytes += 10
			}
		})
		r.Close()
		run := m.Result()
		if n := run.Acked + run.Received; n < 50 || n > 52 || run.Partial != "" || run.Seconds > 5 {
			t.Errorf("%+v: %d messages in %.1f s, partial %q", o, n, run.Seconds, run.Partial)
		}
	}
}

func TestStopKeepsTheFirstReason(t *testing.T) {
	m := New(Options{Duration: time.Minute})
	r := m.Recorder(Response)
	m.Begin()
	ctx, cancel := context.WithCancel(context.Background())
	m.Until(ctx)
	for range 50 {
		r.Turn(m.Now())
		r.Acked++
		time.Sleep(time.Millisecond)
	}
	m.Stop("the topic is gone")
	cancel()
	r.Turn(m.Now())
	r.Close()
	run := m.Result()
	if run.Partial != "the topic is gone" || run.Acked != 50 || run.Seconds > 5 || !m.Stopped() {
		t.Errorf("partial %q, %d acknowledged in %v s", run.Partial, run.Acked, run.Seconds)
	}
}

func TestStoppedInTheWarmUp(t *testing.T) {
	m := New(Options{Warmup: time.Minute, Duration: time.Minute})
	r := m.Recorder(Response)
	m.Begin()
	r.Turn(m.Now())
	r.Acked++
	m.Stop("enough")
	r.Turn(m.Now())
	r.Close()
	run := m.Result()
	if err := run.Check(); err != nil || run.Acked != 0 || len(run.Intervals) != 0 || run.Seconds != 0 {
		t.Errorf("%v: run %+v", err, run)
	}
}

func TestVoid(t *testing.T) {
	cases := []struct {
		late, response time.Duration
		rate           float64
		void           bool
	}{
		{90 * time.Microsecond, 100 * time.Microsecond, 1000, false}, // a wake-up
		{2 * time.Millisecond, 10 * time.Millisecond, 1000, true},
		{900 * time.Microsecond, 10 * time.Millisecond, 1000, false},
		{2 * time.Millisecond, 10 * time.Millisecond, 0, false}, // no schedule
	}
	for _, c := range cases {
		m := New(Options{Duration: 20 * time.Millisecond, Rate: c.rate})
		r := m.Recorder(Response, Late)
		m.Begin()
		now := m.Start()
		for range 1000 {
			r.Record(Response, now, now+int64(c.response))
			r.Record(Late, now, now+int64(c.late))
		}
		drive(m, r, func(int64) {})
		r.Close()
		if run := m.Result(); (run.Void != "") != c.void {
			t.Errorf("%+v: void %q", c, run.Void)
		} else if c.void && !strings.Contains(run.Void, "itself late") {
			t.Errorf("void says %q", run.Void)
		}
	}
}

func TestRecordingAllocatesNothing(t *testing.T) {
	m := New(Options{Duration: time.Minute, Interval: time.Minute})
	r := m.Recorder(Response, Service)
	m.Begin()
	now := m.Start()
	r.Turn(now)
	if n := testing.AllocsPerRun(1000, func() {
		now += 1000
		r.Turn(now)
		r.Acked++
		r.Record(Response, now-5_000_000, now)
		r.RecordN(Service, now-90_000_000_000, now, 64) // beyond the greatest
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
	m.Stop("enough")
	r.Close()
	m.Result()
}
