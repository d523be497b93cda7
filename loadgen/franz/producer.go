package franz

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"millrace/loadgen/measure"
	"millrace/loadgen/workload"

	"github.com/twmb/franz-go/pkg/kgo"
)

// producer is one client that writes by its share of the schedule.
type producer struct {
	l   *load
	n   int
	cl  *kgo.Client
	rec *measure.Shared
	txn *transaction // nil: none

	sizer *workload.Sizer
	keyer *workload.Keyer
	pool  *workload.Pool
	next  []uint64 // numbers in the stamps, where no book gives them out; by place
	turn  int      // of partitions, for messages without a key
	inOne int      // messages that went to the running one

	free    sync.Pool // of *message
	unstuck int64     // until when the library's buffer was full
	wire    wire
}

// message is one under way, with what its acknowledgement is measured by.
type message struct {
	kgo.Record
	buf    []byte // of the value
	key    []byte
	due    int64
	sent   int64
	place  int
	number uint64
	done   func(*kgo.Record, error) // made once
}

var codecs = map[string]kgo.CompressionCodec{
	"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(),
	"lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
}

// maxBuffered is what all libraries of a load may hold of messages that are due.
const maxBuffered = 512 << 20

// leastBatch is the smallest limit of a batch that the library takes.
const leastBatch = 512

func newProducer(l *load, n int) (*producer, error) {
	w := l.w
	p := &producer{l: l, n: n, sizer: w.NewSizer(n), keyer: w.NewKeyer(n, w.Connections),
		turn: n * w.Partitions / w.Connections,
		rec: l.m.Shared(measure.Response, measure.Service, measure.Delay, measure.Late,
			measure.Commit)}
	var err error
	if p.pool, err = w.NewPool(n); err != nil {
		return nil, err
	}
	if w.Stamp && l.book == nil {
		p.next = make([]uint64, len(l.names)*w.Partitions)
	}
	p.wire.l = l
	p.free.New = func() any {
		m := &message{buf: make([]byte, w.Size.Max())}
		m.done = func(_ *kgo.Record, err error) { p.answered(m, err) }
		return m
	}
	opts := []kgo.Opt{
		kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerBatchMaxBytes(int32(max(leastBatch, w.BatchBytes()))),
		kgo.ProducerBatchCompression(codecs[w.Codec]),
		kgo.ProducerLinger(w.Linger),
		kgo.MaxBufferedRecords(p.buffered()),
		kgo.MaxBufferedBytes(max(maxBuffered/w.Connections, 2*w.BatchBytes())),
		kgo.RecordDeliveryTimeout(deliveryLimit),
		kgo.UnknownTopicRetries(2),
		kgo.WithHooks(&p.wire),
	}
	if w.Acks == workload.AcksAll {
		opts = append(opts, kgo.RequiredAcks(kgo.AllISRAcks()))
	} else {
		opts = append(opts, kgo.RequiredAcks(kgo.LeaderAck()))
	}
	switch {
	case w.Mode == workload.Txn:
		opts = append(opts, kgo.TransactionalID(fmt.Sprintf("loadgen-%08x-%d", l.id, n)),
			kgo.TransactionTimeout(time.Minute))
	case !w.Idempotence:
		opts = append(opts, kgo.DisableIdempotentWrite(),
			kgo.MaxProduceRequestsInflightPerBroker(w.InFlight))
	}
	if p.cl, err = newClient(w, opts...); err != nil {
		return nil, err
	}
	if w.Mode == workload.Txn {
		p.txn = &transaction{p: p}
	}
	return p, nil
}

// identify asks for the producer's id before the load: a cluster's first transaction makes a topic.
func (p *producer) identify(ctx context.Context) error {
	if !p.l.w.Idempotence {
		return nil
	}
	within, cancel := context.WithTimeout(ctx, assignLimit)
	defer cancel()
	if _, _, err := p.cl.ProducerID(within); err != nil {
		return fmt.Errorf("loadgen: the cluster gives no producer id: %w", err)
	}
	return nil
}

// buffered is how many messages the library may hold. Without a rate it is what fills the
// requests in flight; with one it is what a broker that stalls for ten seconds lets gather.
func (p *producer) buffered() int {
	w := p.l.w
	if !w.OpenLoop() {
		return max(1, w.InFlight) * w.BatchRecords()
	}
	return int(min(2_000_000, max(10_000, 10*w.Rate.PerSecond/float64(w.Connections))))
}

// run writes until the measurement is over.
func (p *producer) run(ctx context.Context) {
	defer steady()()
	w, m := p.l.w, p.l.m
	if p.txn != nil {
		defer p.txn.end(ctx, true)
	}
	if !w.OpenLoop() {
		for now := m.Now(); !m.Over(now) && ctx.Err() == nil; now = m.Now() {
			if !p.send(ctx, now, now) {
				return
			}
		}
		return
	}
	// What was due within the measurement is sent even when its end has come in between: a broker
	// that stalls at the end does not get rid of it.
	s := w.NewSchedule(p.n, w.Connections, w.Rate.PerSecond)
	for ctx.Err() == nil {
		now, due := m.Now(), m.Started()+int64(s.Peek())
		if due >= m.End() || now > m.End()+int64(drainLimit) {
			return
		}
		if due > now {
			sleep(due - now)
			continue
		}
		s.Take()
		if !p.send(ctx, due, now) {
			return
		}
	}
}

// send hands the next message to the library; false means that the load is over.
func (p *producer) send(ctx context.Context, due, now int64) bool {
	if p.txn != nil && !p.txn.begin(ctx, due) {
		return false
	}
	msg := p.make(due)
	msg.sent = now
	waiting := p.cl.BufferedProduceRecords()
	p.rec.Do(func(r *measure.Recorder) {
		r.Turn(now)
		r.Sent++
		if p.l.w.OpenLoop() {
			r.Record(measure.Delay, due, now)
			if due >= p.unstuck { // else the library's buffer was full when it was due
				r.Record(measure.Late, due, now)
			}
		}
		r.InFlight = waiting + 1
	})
	if p.l.inFlight.Add(1) == 1 {
		p.l.lastAck.Store(now) // nothing was waiting: silence counts from now
	}
	p.cl.Produce(p.l.sending, &msg.Record, msg.done)
	if after := p.l.m.Now(); after-now > int64(time.Millisecond) {
		p.unstuck = after
	}
	return p.txn == nil || p.txn.sent(ctx)
}

// make builds the next message.
func (p *producer) make(due int64) *message {
	w := p.l.w
	m := p.free.Get().(*message)
	size := p.sizer.Next()
	m.due, m.key = due, m.key[:0]
	key, keyed := p.keyer.Next()
	topic := 0
	if keyed {
		m.key = w.AppendKey(m.key, key)
		topic = int(key % int64(w.Topics))
		m.place = topic*w.Partitions + workload.PartitionOf(m.key, w.Partitions)
	} else {
		m.place = p.place()
		topic = m.place / w.Partitions
	}
	value := m.buf[:size]
	copy(value, p.pool.Next(size))
	if w.Stamp {
		s := workload.Stamp{Stream: uint32(p.n), Due: due, Run: p.l.id}
		if p.l.book != nil {
			s.Number = p.l.book.Take(s.Stream, m.place, 1)
		} else {
			s.Number = p.next[m.place]
			p.next[m.place]++
		}
		m.number = s.Number
		s.Put(value, workload.ContentSum(value))
	}
	m.Record = kgo.Record{Topic: p.l.names[topic], Partition: int32(m.place % w.Partitions), Value: value}
	if keyed {
		m.Record.Key = m.key
	}
	return m
}

// place deals messages without a key out: a batch of them to a partition, then one to the next.
func (p *producer) place() int {
	if p.inOne++; p.inOne > p.l.w.BatchRecords() {
		p.inOne = 1
		p.turn++
	}
	return p.turn % (p.l.w.Topics * p.l.w.Partitions)
}

// answered is called by the library when a message is acknowledged, or given up.
func (p *producer) answered(m *message, err error) {
	l := p.l
	now := l.m.Now()
	l.inFlight.Add(-1)
	if err != nil {
		if p.txn != nil {
			p.txn.lost.Store(true)
		}
		if l.sending.Err() != nil || errors.Is(err, kgo.ErrClientClosed) {
			return // given up here, not refused there
		}
		code, name := errorName(err)
		p.rec.Do(func(r *measure.Recorder) { r.Fail(code, name, err.Error()) })
		if fatal(err) {
			why := ""
			if unknown(err) {
				why = " (was the topic deleted?)"
			}
			l.stop(fmt.Errorf("loadgen: produce to %s: %w%s", l.placeName(m.place), err, why))
		}
		p.free.Put(m)
		return
	}
	bytes := int64(p.wire.each() + 0.5)
	l.acked.Add(1)
	l.bytes.Add(bytes)
	l.lastAck.Store(now)
	p.rec.Do(func(r *measure.Recorder) {
		r.Turn(now)
		r.Acked++
		r.AckedBytes += bytes
		r.Requests += p.wire.requests.Swap(0)
		r.Record(measure.Service, m.sent, now)
		if p.txn == nil {
			r.Record(measure.Response, m.due, now)
		}
	})
	switch {
	case p.txn != nil:
		p.txn.acked(m)
	case l.book != nil:
		l.book.Acked(uint32(p.n), m.place, m.number, 1)
	}
	p.free.Put(m)
}

// finish waits for what is under way.
func (p *producer) finish(ctx context.Context) {
	if err := p.cl.Flush(ctx); err != nil {
		p.l.stop(fmt.Errorf("loadgen: %d messages were not acknowledged behind the measurement: %w",
			p.cl.BufferedProduceRecords(), err))
	}
}

func (p *producer) close() { p.cl.Close() }
