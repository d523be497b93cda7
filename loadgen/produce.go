package loadgen

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// ProduceOptions is the shape of a produce load.
type ProduceOptions struct {
	Addr       string
	Topic      string
	Partitions int
	Conns      int
	InFlight   int // requests per connection
	Distinct   int // requests encoded, used in turn; at least one per partition and one in flight
	Records    int // per batch; one batch per request
	Size       int // bytes of a value
	Acks       int16
	Rate       float64 // requests per second over all connections; 0: as fast as answers come
	Warmup     time.Duration
	Duration   time.Duration
	MaxBytes   int64 // ends the measurement early; 0: no limit
	Requests   int64 // sends exactly so many and then ends; 0: no limit
	BrokerPid  int   // whose CPU is measured; 0: nobody's
}

func (o *ProduceOptions) check() error {
	if o.Partitions < 1 || o.Conns < 1 || o.InFlight < 1 || o.Records < 1 || o.Size < 0 {
		return errors.New("loadgen: partitions, connections, requests in flight and records " +
			"must be at least one")
	}
	if o.Conns > 1024 || o.InFlight > 1024 {
		return errors.New("loadgen: at most 1024 connections with 1024 requests in flight")
	}
	if o.perLane() > 1<<20 {
		return errors.New("loadgen: at most 1048576 different requests per connection")
	}
	return nil
}

// perLane is how many different requests each connection sends in turn: all partitions get
// some, however few requests are in flight.
func (o *ProduceOptions) perLane() int {
	return max(o.InFlight, (max(o.Partitions, o.Distinct)+o.Conns-1)/o.Conns)
}

// slot is one pre-encoded request; it is free again when its answer has come.
type slot struct {
	frame []byte
	from  time.Duration // when its latency began
}

// lane is one connection with its slots, used in turn: answers come in the order of requests.
type lane struct {
	conn    *conn
	slots   []slot
	most    uint64 // in flight
	queued  uint64 // requests handed to the connection
	answers uint64
	next    int64 // paced: the number of its next request in the whole schedule
}

func (l *lane) free() bool { return l.queued-l.answers < l.most }

// produce is the load of ProduceOptions.
type produce struct {
	o          ProduceOptions
	lanes      []*lane
	loop       *loop
	errorAt    int
	batchBytes int64
	measure    phase
	delay      *hdrhistogram.Histogram
	base       time.Duration // paced: when the schedule began
	sent       int64         // unpaced
}

// Produce runs the load and reports it.
func Produce(ctx context.Context, o ProduceOptions) (*Report, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	p := &produce{o: o, errorAt: produceErrorAt(o.Topic) - 4, delay: newHistogram()}
	var conns []*conn
	for i := range o.Conns {
		c, err := dial(o.Addr, 64<<10)
		if err != nil {
			return nil, err
		}
		defer c.close()
		conns = append(conns, c)
		l := &lane{conn: c, next: int64(i), most: uint64(o.InFlight)}
		for s := range o.perLane() {
			n := i*o.perLane() + s
			records, err := buildBatch(o.Records, o.Size, int64(n+1), time.Now())
			if err != nil {
				return nil, err
			}
			p.batchBytes = int64(len(records))
			frame, _ := produceRequest(o.Topic, int32(n%o.Partitions), o.Acks, records)
			l.slots = append(l.slots, slot{frame: frame})
		}
		p.lanes = append(p.lanes, l)
	}
	loop, err := newLoop(conns)
	if err != nil {
		return nil, err
	}
	defer loop.close()
	p.loop = loop
	p.measure = phase{warmup: o.Warmup, duration: o.Duration, maxBytes: o.MaxBytes,
		maxRequests: o.Requests, pid: o.BrokerPid, latency: newHistogram()}
	if err := loop.run(ctx, p); err != nil {
		return nil, err
	}
	r, err := p.measure.report()
	if err != nil {
		return nil, err
	}
	r.Load, r.Messages = "produce", r.Requests*int64(o.Records)
	if o.Rate > 0 {
		d := latencyOf(p.delay)
		r.Delay = &d
	}
	return r, nil
}

// turn queues what is due.
func (p *produce) turn(now time.Duration) (time.Duration, bool, error) {
	if over, err := p.measure.step(now); err != nil || over {
		if err != nil || p.idle() || now > p.measure.ended+10*time.Second {
			return 0, true, err
		}
		return -1, false, nil // wait for what is in flight, so that the topic can be deleted
	}
	if p.o.Rate == 0 {
		for _, l := range p.lanes {
			for l.free() && p.more() {
				l.send(now)
				p.sent++
			}
		}
		return -1, false, nil
	}
	return p.pace(now), false, nil
}

// pace sends what is due by the schedule and says how long nothing will be.
func (p *produce) pace(now time.Duration) time.Duration {
	if p.base == 0 {
		p.base = now
	}
	wait := time.Duration(-1)
	for _, l := range p.lanes {
		for l.free() {
			due := p.base + time.Duration(float64(l.next)/p.o.Rate*1e9)
			if due > now {
				if wait < 0 || due-now < wait {
					wait = due - now
				}
				break
			}
			if p.measure.on {
				record(p.delay, now-due)
			}
			l.send(due)
			l.next += int64(len(p.lanes))
		}
	}
	return wait
}

// send queues the lane's next slot.
func (l *lane) send(from time.Duration) {
	s := &l.slots[l.queued%uint64(len(l.slots))]
	s.from = from
	be.PutUint32(s.frame[correlationAt:], uint32(l.queued))
	l.conn.queue(s.frame)
	l.queued++
}

func (p *produce) idle() bool {
	for _, l := range p.lanes {
		if l.queued != l.answers {
			return false
		}
	}
	return true
}

func (p *produce) answer(i int, id uint32, body []byte) error {
	l := p.lanes[i]
	if id != uint32(l.answers) || l.answers == l.queued {
		return errOrder
	}
	if len(body) < p.errorAt+2 {
		return errShort
	}
	if code := int16(be.Uint16(body[p.errorAt:])); code != 0 {
		return fmt.Errorf("loadgen: produce was answered with error code %d", code)
	}
	s := &l.slots[l.answers%uint64(len(l.slots))]
	l.answers++
	p.measure.done(p.loop.now()-s.from, p.batchBytes)
	if p.o.Rate == 0 && !p.measure.over && p.more() {
		l.send(p.loop.now())
		p.sent++
	}
	return nil
}

// more says whether another request may be sent.
func (p *produce) more() bool { return p.o.Requests == 0 || p.sent < p.o.Requests }

// phase is the life of a run: warm-up, measurement, end.
type phase struct {
	warmup, duration time.Duration
	maxBytes         int64
	maxRequests      int64
	pid              int

	on, over        bool
	began, ended    time.Duration
	from            meter
	result          Report
	latency         *hdrhistogram.Histogram
	requests, bytes int64
}

// step moves on with time; over means that nothing new should be sent.
func (p *phase) step(now time.Duration) (over bool, err error) {
	switch {
	case p.over:
	case !p.on && now >= p.warmup:
		if p.from, err = readMeter(p.pid); err != nil {
			return true, err
		}
		p.on, p.began = true, now
	case p.on && (now-p.began >= p.duration || p.maxBytes > 0 && p.bytes >= p.maxBytes ||
		p.maxRequests > 0 && p.requests >= p.maxRequests):
		p.over, p.ended = true, now
		p.result.Requests, p.result.Bytes = p.requests, p.bytes
		p.result.Latency = latencyOf(p.latency)
		p.on = false
		return true, p.result.since(p.from)
	}
	return p.over, nil
}

func (p *phase) done(took time.Duration, bytes int64) {
	if !p.on {
		return
	}
	p.requests++
	p.bytes += bytes
	record(p.latency, took)
}

func (p *phase) report() (*Report, error) {
	if !p.over {
		return nil, errors.New("loadgen: the run ended before its measurement")
	}
	r := p.result
	return &r, nil
}
