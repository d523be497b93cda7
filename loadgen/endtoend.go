package loadgen

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"time"

	"millrace/protocol/batch"
)

// EndToEndOptions is the shape of a run in which one connection writes single messages by a
// schedule and another one reads them: latency counts from the intended send to the reception.
// The topic must be new.
type EndToEndOptions struct {
	Addr       string
	Topic      string
	Partitions int
	Size       int // bytes of a value, at least 8
	Acks       int16
	Rate       float64 // messages per second
	Warmup     time.Duration
	Duration   time.Duration
	BrokerPid  int
}

const (
	batchCRCAt  = 17
	batchDataAt = 21 // where what the CRC covers begins
	batchTimeAt = 27 // base timestamp, then max timestamp
	inFlight    = 256
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// endToEnd writes on connection 0 and reads one partition on each further connection.
type endToEnd struct {
	o       EndToEndOptions
	lane    *lane
	records [][]byte // the batch within each slot's frame
	valueAt int      // of the intended send time, within a batch
	errorAt int
	readers []*reader
	loop    *loop
	measure phase
	base    time.Duration
	wall    int64
	sent    int64
	got     int64
}

// EndToEnd runs the load and reports it.
func EndToEnd(ctx context.Context, o EndToEndOptions) (*Report, error) {
	if o.Partitions < 1 || o.Size < 8 || o.Rate <= 0 {
		return nil, errors.New("loadgen: end to end needs partitions, a rate and 8 bytes or more")
	}
	e := &endToEnd{o: o, errorAt: produceErrorAt(o.Topic) - 4, wall: time.Now().UnixMilli()}
	var conns []*conn
	for range o.Partitions + 1 {
		c, err := dial(o.Addr, 1<<20)
		if err != nil {
			return nil, err
		}
		defer c.close()
		conns = append(conns, c)
	}
	if err := e.slots(conns[0]); err != nil {
		return nil, err
	}
	for p, c := range conns[1:] {
		e.readers = append(e.readers, &reader{conn: c, parts: []int32{int32(p)}, offsets: []int64{0},
			request: newFetchRequest(o.Topic, 500*time.Millisecond, 1, 1<<20)})
	}
	loop, err := newLoop(conns)
	if err != nil {
		return nil, err
	}
	defer loop.close()
	e.loop = loop
	e.measure = phase{warmup: o.Warmup, duration: o.Duration, pid: o.BrokerPid,
		latency: newHistogram()}
	if err := loop.run(ctx, e); err != nil {
		return nil, err
	}
	if e.got != e.sent {
		return nil, fmt.Errorf("loadgen: %d messages sent, %d received", e.sent, e.got)
	}
	r, err := e.measure.report()
	if err != nil {
		return nil, err
	}
	r.Load, r.Messages = "end to end", r.Requests
	return r, nil
}

func (e *endToEnd) slots(c *conn) error {
	e.lane = &lane{conn: c, most: inFlight}
	for i := range inFlight {
		records, err := buildBatch(1, e.o.Size, int64(i+1), time.Now())
		if err != nil {
			return err
		}
		frame, at := produceRequest(e.o.Topic, int32(i%e.o.Partitions), e.o.Acks, records)
		e.lane.slots = append(e.lane.slots, slot{frame: frame})
		e.records = append(e.records, frame[at:at+len(records)])
		e.valueAt = len(records) - 1 - e.o.Size // the header count, one byte, is last
	}
	return nil
}

func (e *endToEnd) turn(now time.Duration) (time.Duration, bool, error) {
	over, err := e.measure.step(now)
	if err != nil {
		return 0, true, err
	}
	if over {
		finished := e.got == e.sent && e.lane.queued == e.lane.answers
		return -1, finished || now > e.measure.ended+10*time.Second, nil
	}
	for _, r := range e.readers {
		if !r.waiting {
			e.ask(r, now)
		}
	}
	if e.base == 0 {
		e.base = now
	}
	for e.lane.free() {
		due := e.base + time.Duration(float64(e.sent)/e.o.Rate*1e9)
		if due > now {
			return due - now, false, nil
		}
		e.stamp(due)
		e.lane.send(due)
		e.sent++
	}
	return -1, false, nil
}

// stamp writes the intended time and the record's timestamp into the next slot's batch.
func (e *endToEnd) stamp(due time.Duration) {
	b := e.records[e.lane.queued%inFlight]
	millis := uint64(e.wall + due.Milliseconds())
	be.PutUint64(b[batchTimeAt:], millis)
	be.PutUint64(b[batchTimeAt+8:], millis)
	be.PutUint64(b[e.valueAt:], uint64(due))
	be.PutUint32(b[batchCRCAt:], crc32.Checksum(b[batchDataAt:], castagnoli))
}

func (e *endToEnd) ask(r *reader, now time.Duration) {
	r.sent++
	r.asked, r.waiting = now, true
	r.request.aim(r.parts[0], r.offsets[0])
	be.PutUint32(r.request.frame[correlationAt:], r.sent)
	r.conn.queue(r.request.frame)
}

func (e *endToEnd) answer(i int, id uint32, body []byte) error {
	if i == 0 {
		return e.acknowledged(id, body)
	}
	r, now := e.readers[i-1], e.loop.now()
	if id != r.sent || !r.waiting {
		return errOrder
	}
	got, err := readFetch(body)
	if err != nil {
		return err
	}
	if got.code != 0 {
		return fmt.Errorf("loadgen: fetch was answered with error code %d", got.code)
	}
	for rest := got.records; len(rest) > 0; {
		v, after, err := batch.Next(rest)
		if err != nil {
			return fmt.Errorf("loadgen: fetched bytes: %w", err)
		}
		if v.BaseOffset() != r.offsets[0] || v.Count() != 1 || len(v) <= e.valueAt+8 {
			return fmt.Errorf("loadgen: offset %d with %d records, want offset %d with one",
				v.BaseOffset(), v.Count(), r.offsets[0])
		}
		e.got++
		e.measure.done(now-time.Duration(be.Uint64(v[e.valueAt:])), int64(len(v)))
		r.offsets[0], rest = v.NextOffset(), after
	}
	r.waiting = false
	if !e.measure.over || e.got < e.sent {
		e.ask(r, now)
	}
	return nil
}

func (e *endToEnd) acknowledged(id uint32, body []byte) error {
	l := e.lane
	if id != uint32(l.answers) || l.answers == l.queued {
		return errOrder
	}
	if len(body) < e.errorAt+2 {
		return errShort
	}
	if code := int16(be.Uint16(body[e.errorAt:])); code != 0 {
		return fmt.Errorf("loadgen: produce was answered with error code %d", code)
	}
	l.answers++
	return nil
}
