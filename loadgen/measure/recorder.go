package measure

import (
	"math"
	"sync"
	"sync/atomic"

	"millrace/loadgen/result"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Kind of latency, as result.Kind has them, by number.
type Kind uint8

// The kinds.
const (
	Response Kind = iota // intended send → acknowledged
	Service              // sent → answered
	Delay                // intended send → sent
	EndToEnd             // intended send → received
	Connect              // connection begun → usable
	Commit               // transaction begun → committed
	Late                 // how late the generator itself was; only for the verdict
	kinds
)

// names of the kinds that a result shows.
var names = [kinds]result.Kind{result.Response, result.Service, result.Delay, result.EndToEnd,
	result.Connect, result.Commit}

// Counts of one interval.
type Counts struct {
	Sent          int64 // messages
	Acked         int64
	Received      int64
	Requests      int64 // answered
	AckedBytes    int64
	ReceivedBytes int64
	CatchUp       int64 // messages, by readers that catch up
	Transactions  int64
	Aborted       int64
	Errors        int64
}

func (c *Counts) add(o *Counts) {
	c.Sent += o.Sent
	c.Acked += o.Acked
	c.Received += o.Received
	c.Requests += o.Requests
	c.AckedBytes += o.AckedBytes
	c.ReceivedBytes += o.ReceivedBytes
	c.CatchUp += o.CatchUp
	c.Transactions += o.Transactions
	c.Aborted += o.Aborted
	c.Errors += o.Errors
}

// sheet is what one recorder knows of one interval.
type sheet struct {
	index         int // of the interval
	counts        Counts
	inFlight, lag int64
	latencies     [kinds]*hdrhistogram.Histogram
}

func newSheet(of []Kind) *sheet {
	s := &sheet{}
	for _, k := range of {
		s.latencies[k] = result.NewHistogram()
	}
	return s
}

func (s *sheet) reset(index int) {
	s.index, s.counts, s.inFlight, s.lag = index, Counts{}, 0, 0
	for _, h := range s.latencies {
		if h != nil && h.TotalCount() > 0 {
			h.Reset()
		}
	}
}

// sheets of a recorder: one that is written, one that is read, and one for a reader that is late.
const sheets = 3

// Recorder is what one thread writes its figures to. Turn must be called at least as often as
// Until says.
type Recorder struct {
	Counts         // of the running interval: add to them
	InFlight int64 // now
	Lag      int64 // now

	m      *Measurement
	of     []Kind
	cur    *sheet
	until  int64 // end of the running interval
	frozen bool  // the measurement is over: Counts count no more
	closed bool
	told   int64 // messages and bytes that the limits know of
	bytes  int64

	full  chan *sheet
	free  chan *sheet
	whole atomic.Int64 // intervals below this have been handed over
}

func newRecorder(m *Measurement, of []Kind) *Recorder {
	r := &Recorder{m: m, of: of, cur: newSheet(of), until: math.MinInt64,
		full: make(chan *sheet, sheets), free: make(chan *sheet, sheets)}
	for range sheets - 1 {
		r.free <- newSheet(of)
	}
	return r
}

// Until is when Turn wants to be called next, if nothing happens before.
func (r *Recorder) Until() int64 {
	if r.frozen {
		return math.MaxInt64
	}
	return min(r.until, r.m.end.Load())
}

// Turn tells the time: when an interval is over its figures are handed over.
func (r *Recorder) Turn(now int64) {
	if r.frozen {
		return
	}
	if r.m.limited && r.cur.index >= r.m.warmups {
		r.tell(now)
	}
	end := r.m.end.Load()
	if at := min(now, end-1); at >= r.until {
		r.rotate(at)
	}
	if now >= end {
		r.freeze()
	}
}

// Record notes a latency that began and ended at these moments. What was due before the
// measurement and ends within it belongs to neither.
func (r *Recorder) Record(k Kind, from, to int64) { r.RecordN(k, from, to, 1) }

// RecordN notes n equal latencies.
func (r *Recorder) RecordN(k Kind, from, to, n int64) {
	if from < r.m.start && to >= r.m.start {
		return
	}
	took := min(max(to-from, result.Lowest), result.Highest)
	_ = r.cur.latencies[k].RecordValues(took, n) // cannot fail: within the bounds
}

// Fail counts an error. Code is the protocol's, or 0.
func (r *Recorder) Fail(code int, name, example string) {
	r.Errors++
	r.m.Fail(code, name, example)
}

// rotate hands over the running interval's sheet and begins the interval of now. When the
// collector has not given a sheet back the running one goes on, and covers more than its own
// interval.
func (r *Recorder) rotate(now int64) {
	index := r.m.indexAt(now)
	r.until = r.m.border(index + 1)
	if r.cur.index == index && r.whole.Load() == int64(index) {
		return // the first one
	}
	select {
	case empty := <-r.free:
		r.store()
		r.full <- r.cur
		r.cur = empty
		r.cur.reset(index)
		r.Counts = Counts{}
		r.told, r.bytes = 0, 0
	default:
	}
	r.whole.Store(int64(index))
}

func (r *Recorder) store() {
	r.cur.counts, r.cur.inFlight, r.cur.lag = r.Counts, r.InFlight, r.Lag
}

// freeze ends the counting; latencies go on until Close.
func (r *Recorder) freeze() {
	r.store()
	r.frozen = true
}

// tell adds what has happened since the last time to the figures that limit the run.
func (r *Recorder) tell(now int64) {
	messages, bytes := r.Acked, r.AckedBytes
	if r.m.o.Reading {
		messages, bytes = r.Received, r.ReceivedBytes
	}
	m := r.m.messages.Add(messages - r.told)
	b := r.m.bytes.Add(bytes - r.bytes)
	r.told, r.bytes = messages, bytes
	if r.m.o.Messages > 0 && m >= r.m.o.Messages || r.m.o.MaxBytes > 0 && b >= r.m.o.MaxBytes {
		r.m.finish(now)
	}
}

// Close hands over the rest. The recorder must not be used after it.
func (r *Recorder) Close() {
	if r.closed {
		return
	}
	if !r.frozen {
		r.freeze()
	}
	errors := r.Errors - r.cur.counts.Errors // in the drain
	r.cur.counts.Errors += errors
	r.closed = true
	r.full <- r.cur
	r.whole.Store(math.MaxInt64)
}

// Shared is a recorder for many goroutines. Nobody need call its Turn: the collector does.
type Shared struct {
	mu sync.Mutex
	r  *Recorder
}

// Do lets f write.
func (s *Shared) Do(f func(r *Recorder)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.r.closed {
		f(s.r)
	}
}

// Close hands over the rest; what comes later is dropped.
func (s *Shared) Close() { s.Do((*Recorder).Close) }

func (s *Shared) turn(now int64) { s.Do(func(r *Recorder) { r.Turn(now) }) }
