package measure

import (
	"context"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"millrace/loadgen/result"
)

// Options of a measurement.
type Options struct {
	Warmup   time.Duration
	Duration time.Duration
	Interval time.Duration
	Messages int64   // the measurement ends after so many; 0: no limit
	MaxBytes int64   // and after so many bytes; 0: no limit
	Reading  bool    // the limits are of what was received, else of what was acknowledged
	Rate     float64 // messages per second asked for; 0: as many as go, and nothing can be late

	Cost      *result.CostSource // of the broker; nil: unknown
	Observers []result.Observer
}

// Measurement is one run.
type Measurement struct {
	Clock
	o       Options
	limited bool

	begin, start int64 // of the warm-up, of the measurement
	warmups      int   // intervals of the warm-up
	end          atomic.Int64
	ended        chan struct{} // closed when end has moved
	once         sync.Once
	stopped      atomic.Bool

	messages, bytes atomic.Int64

	recorders []*Recorder
	shared    []*Shared
	collected chan struct{}
	collector *collector

	mu      sync.Mutex
	partial string
	errors  []result.ErrorCount
}

// New prepares a measurement; Recorders come next, then Begin.
func New(o Options) *Measurement {
	if o.Interval <= 0 {
		o.Interval = time.Second
	}
	return &Measurement{Clock: NewClock(), o: o, limited: o.Messages > 0 || o.MaxBytes > 0,
		ended: make(chan struct{}), collected: make(chan struct{})}
}

// Recorder is for one thread, with the kinds of latency that it will record.
func (m *Measurement) Recorder(of ...Kind) *Recorder {
	r := newRecorder(m, of)
	m.recorders = append(m.recorders, r)
	return r
}

// Shared is for many goroutines.
func (m *Measurement) Shared(of ...Kind) *Shared {
	s := &Shared{r: m.Recorder(of...)}
	m.shared = append(m.shared, s)
	return s
}

// Begin starts the clock of the warm-up. All recorders are there by now.
func (m *Measurement) Begin() {
	m.begin = m.Now()
	m.start = m.begin + int64(m.o.Warmup)
	m.warmups = int((m.o.Warmup + m.o.Interval - 1) / m.o.Interval)
	m.end.Store(m.start + int64(m.o.Duration))
	m.collector = newCollector(m)
	go func() {
		defer close(m.collected)
		m.collector.run()
	}()
}

// Started is when the load began: the moment from which schedules count.
func (m *Measurement) Started() int64 { return m.begin }

// Start is when the measurement begins.
func (m *Measurement) Start() int64 { return m.start }

// Over says that nothing new is to be sent.
func (m *Measurement) Over(now int64) bool { return now >= m.end.Load() }

// End is when the measurement ends, as far as is known now.
func (m *Measurement) End() int64 { return m.end.Load() }

// Stop ends the run early. The first reason is kept.
func (m *Measurement) Stop(why string) {
	m.mu.Lock()
	if m.partial == "" {
		m.partial = why
	}
	m.mu.Unlock()
	m.stopped.Store(true)
	m.finish(m.Now())
}

// Stopped says that the run ended early: what is still due need not be done.
func (m *Measurement) Stopped() bool { return m.stopped.Load() }

// finish moves the end forward.
func (m *Measurement) finish(now int64) {
	m.once.Do(func() {
		if now < m.end.Load() {
			m.end.Store(now)
		}
		close(m.ended)
	})
}

// Until ends the run when ctx does. Call it once, after Begin.
func (m *Measurement) Until(ctx context.Context) {
	go func() {
		select {
		case <-ctx.Done():
			m.Stop("stopped: " + context.Cause(ctx).Error())
		case <-m.collected:
		}
	}()
}

// most kinds of errors that are told apart.
const maxErrors = 100

// Fail notes an error that an answer carried, or that a connection died of; Recorder.Fail counts
// it in its interval, too.
func (m *Measurement) Fail(code int, name, example string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	i := slices.IndexFunc(m.errors, func(e result.ErrorCount) bool {
		return e.Code == code && e.Name == name
	})
	if i < 0 {
		if len(m.errors) == maxErrors {
			return
		}
		m.errors = append(m.errors, result.ErrorCount{Code: code, Name: name, Example: example,
			FirstAt: float64(m.Now()-m.start) / 1e9})
		i = len(m.errors) - 1
	}
	m.errors[i].Count++
}

// Result waits until every recorder is closed and returns what was measured. The caller adds what
// the load was.
func (m *Measurement) Result() *result.Run {
	<-m.collected
	m.finish(m.Now())
	r := m.collector.result()
	m.mu.Lock()
	defer m.mu.Unlock()
	r.Partial, r.Errors = m.partial, m.errors
	return r
}

// indexAt is the interval that holds a moment; the warm-up's are the first ones.
func (m *Measurement) indexAt(now int64) int {
	if now < m.start {
		return int(max(0, now-m.begin) / int64(m.o.Interval))
	}
	return m.warmups + int((now-m.start)/int64(m.o.Interval))
}

// border is where an interval begins. The last one of the warm-up may be shorter.
func (m *Measurement) border(index int) int64 {
	if index < m.warmups {
		return m.begin + int64(index)*int64(m.o.Interval)
	}
	return m.start + int64(index-m.warmups)*int64(m.o.Interval)
}

// newID names a run: when it began, and a part that tells runs of the same second apart.
func newID(at time.Time) string {
	return at.UTC().Format("20060102T150405") + "-" + strconv.FormatInt(at.UnixNano()%1e9/1e3, 36)
}

// Finish ends the measurement now, as planned: the load has done all it had to do.
func (m *Measurement) Finish() { m.finish(m.Now()) }
