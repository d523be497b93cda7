package measure

import (
	"context"
	"time"

	"millrace/loadgen/result"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// pile is sheets added up.
type pile struct {
	counts    Counts
	latencies [kinds]*hdrhistogram.Histogram
}

func (p *pile) add(s *sheet) {
	p.counts.add(&s.counts)
	for k, h := range s.latencies {
		if h == nil || h.TotalCount() == 0 {
			continue
		}
		if p.latencies[k] == nil {
			p.latencies[k] = result.NewHistogram()
		}
		p.latencies[k].Merge(h)
	}
}

func (p *pile) reset() {
	p.counts = Counts{}
	for _, h := range p.latencies {
		if h != nil {
			h.Reset()
		}
	}
}

// collector makes intervals of what recorders hand over.
type collector struct {
	m           *Measurement
	warm, cur   pile // of the running interval: the warm-up's and the measurement's
	total       pile
	gauges      []gauge // by recorder
	intervals   []result.Interval
	broker      result.Usage // at the last border
	generator   result.Usage
	first, last reading
	peak        int64 // the broker's resident memory
}

type gauge struct{ inFlight, lag int64 }

// reading is everything that is read of the machine at one moment.
type reading struct {
	broker, generator result.Usage
	hasBroker         bool
	machine           result.MachineUsage
	hasMachine        bool
	at                int64
}

func newCollector(m *Measurement) *collector {
	c := &collector{m: m, gauges: make([]gauge, len(m.recorders))}
	c.first = c.read(m.begin)
	c.last = c.first
	c.broker, c.generator = c.first.broker, c.first.generator
	return c
}

// read looks at broker, generator and machine. A broker that is gone is no error here: the load
// will say so.
func (c *collector) read(at int64) (r reading) {
	r.at, r.generator = at, result.SelfUsage()
	if cost := c.m.o.Cost; cost != nil {
		u, err := cost.Read(context.Background())
		r.broker, r.hasBroker = u, err == nil
		if err != nil {
			c.m.Fail(0, "cost of the broker", err.Error())
		}
	}
	machine, err := result.ReadMachine()
	r.machine, r.hasMachine = machine, err == nil
	return r
}

// run ends when every recorder is closed.
func (c *collector) run() {
	m := c.m
	for k := 0; ; k++ {
		from, to := m.border(k), m.border(k+1)
		c.sleep(to)
		if end := m.end.Load(); end <= to {
			c.sleepUntilClosed(from, end, k)
			return
		}
		r := c.read(to)
		if to == m.start {
			c.first = r
		}
		c.await(k)
		c.emit(k, from, to, r)
	}
}

// sleepUntilClosed makes the last interval: its counters end with the measurement, its latencies
// with the drain.
func (c *collector) sleepUntilClosed(from, end int64, k int) {
	r := c.read(end)
	for !c.whole(int64(k) + 1<<40) {
		c.gather()
		time.Sleep(time.Millisecond)
		c.turn()
	}
	c.gather()
	if end <= c.m.start { // it never came to the measurement
		c.first, c.last = r, r
		return
	}
	c.emit(k, from, max(end, from+1), r)
}

func (c *collector) sleep(to int64) {
	d := time.Duration(min(to, c.m.end.Load()) - c.m.Now())
	if d <= 0 {
		return
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-c.m.ended:
	}
}

// patience with a thread that is busy: its figures then belong to the next interval.
const patience = 300 * time.Millisecond

// await gives every recorder the time to hand interval k over.
func (c *collector) await(k int) {
	c.turn()
	for deadline := time.Now().Add(patience); !c.whole(int64(k)+1) && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
	c.gather()
}

func (c *collector) turn() {
	now := c.m.Now()
	for _, s := range c.m.shared {
		s.turn(now)
	}
}

func (c *collector) whole(below int64) bool {
	for _, r := range c.m.recorders {
		if r.whole.Load() < below {
			return false
		}
	}
	return true
}

// gather adds up what has been handed over.
func (c *collector) gather() {
	for i, r := range c.m.recorders {
		for more := true; more; {
			select {
			case s := <-r.full:
				c.gauges[i] = gauge{s.inFlight, s.lag}
				if s.index < c.m.warmups {
					c.warm.add(s)
				} else {
					c.cur.add(s)
				}
				r.free <- s
			default:
				more = false
			}
		}
	}
}

// emit makes an interval and tells the observers.
func (c *collector) emit(k int, from, to int64, r reading) {
	p, warmup := &c.cur, k < c.m.warmups
	if warmup {
		p = &c.warm
	}
	n := &p.counts
	v := result.Interval{At: float64(from-c.m.start) / 1e9, Seconds: float64(to-from) / 1e9,
		Warmup: warmup, Sent: n.Sent, Acked: n.Acked, Received: n.Received, Requests: n.Requests,
		AckedBytes: n.AckedBytes, ReceivedBytes: n.ReceivedBytes, CatchUp: n.CatchUp,
		Transactions: n.Transactions, Errors: n.Errors, Latencies: map[result.Kind]result.Window{}}
	for _, g := range c.gauges {
		v.InFlight, v.Lag = v.InFlight+g.inFlight, v.Lag+g.lag
	}
	for kind, h := range p.latencies {
		if name := names[kind]; name != "" && h != nil && h.TotalCount() > 0 {
			v.Latencies[name] = result.Observe(h)
		}
	}
	v.Generator = r.generator.Since(c.generator)
	if r.hasBroker && c.last.hasBroker {
		v.Broker = r.broker.Since(c.broker)
		c.peak = max(c.peak, r.broker.RSS)
	}
	c.broker, c.generator, c.last = r.broker, r.generator, r
	if !warmup {
		c.intervals = append(c.intervals, v)
		c.total.counts.add(n)
		for kind, h := range p.latencies {
			if h == nil {
				continue
			}
			if c.total.latencies[kind] == nil {
				c.total.latencies[kind] = result.NewHistogram()
			}
			c.total.latencies[kind].Merge(h)
		}
	}
	p.reset()
	for _, o := range c.m.o.Observers {
		o.Interval(v)
	}
}

// result is the whole run.
func (c *collector) result() *result.Run {
	m, n := c.m, &c.total.counts
	started := m.Wall(m.start)
	r := &result.Run{Format: result.Format, ID: newID(started), Started: started,
		Seconds:       max(0, float64(m.end.Load()-m.start)/1e9),
		WarmupSeconds: float64(min(m.start, m.end.Load())-m.begin) / 1e9,
		Rate:          m.o.Rate, Sent: n.Sent, Acked: n.Acked, Received: n.Received,
		Requests: n.Requests, AckedBytes: n.AckedBytes, ReceivedBytes: n.ReceivedBytes,
		CatchUp: n.CatchUp, Transactions: n.Transactions, Aborted: n.Aborted,
		Latencies: map[result.Kind]result.Summary{}, Intervals: c.intervals}
	for kind, h := range c.total.latencies {
		if name := names[kind]; name != "" && h != nil && h.TotalCount() > 0 {
			r.Latencies[name] = result.Summarize(h)
		}
	}
	r.Generator = c.last.generator.Since(c.first.generator)
	if c.first.hasBroker && c.last.hasBroker {
		r.Broker = c.last.broker.Since(c.first.broker)
		r.Broker.RSS, r.Broker.Source = max(c.peak, r.Broker.RSS), m.o.Cost.Name()
	}
	if c.first.hasMachine && c.last.hasMachine {
		r.Machine = c.last.machine.Since(c.first.machine, r.Broker, r.Generator)
	}
	if m.o.Rate > 0 {
		r.Void = verdict(&c.total.latencies)
	}
	return r
}
