package loadgen

import (
	"context"
	"errors"
	"fmt"
	"time"

	"millrace/protocol/batch"
)

// FetchOptions is the shape of a fetch load: every connection reads some of the partitions, one
// request at a time, from an offset to another and then, if told so, from the start again.
type FetchOptions struct {
	Addr       string
	Topic      string
	Partitions int
	Conns      int
	MaxBytes   int32 // of one answer
	From, To   int64 // offsets, the same for every partition; To is not read
	Again      bool  // start over at From; else the run ends when all has been read
	Warmup     time.Duration
	Duration   time.Duration
	BrokerPid  int
}

// reader is one connection and the partitions that it reads.
type reader struct {
	conn    *conn
	request fetchRequest
	parts   []int32
	offsets []int64
	at      int // index of the partition asked for
	sent    uint32
	asked   time.Duration
	waiting bool
	done    bool
}

type fetch struct {
	o        FetchOptions
	readers  []*reader
	loop     *loop
	measure  phase
	messages int64
}

// Fetch runs the load and reports it.
func Fetch(ctx context.Context, o FetchOptions) (*Report, error) {
	if o.Partitions < 1 || o.Conns < 1 || o.Conns > o.Partitions || o.MaxBytes < 1 || o.From >= o.To {
		return nil, errors.New("loadgen: fetch needs a partition for each connection, a size and " +
			"a range of offsets")
	}
	f := &fetch{o: o}
	var conns []*conn
	for i := range o.Conns {
		c, err := dial(o.Addr, 2*int(o.MaxBytes)+1<<20)
		if err != nil {
			return nil, err
		}
		defer c.close()
		conns = append(conns, c)
		r := &reader{conn: c, request: newFetchRequest(o.Topic, 500*time.Millisecond, 1, o.MaxBytes)}
		for p := i; p < o.Partitions; p += o.Conns {
			r.parts = append(r.parts, int32(p))
			r.offsets = append(r.offsets, o.From)
		}
		f.readers = append(f.readers, r)
	}
	loop, err := newLoop(conns)
	if err != nil {
		return nil, err
	}
	defer loop.close()
	f.loop = loop
	f.measure = phase{warmup: o.Warmup, duration: o.Duration, pid: o.BrokerPid,
		latency: newHistogram()}
	if err := loop.run(ctx, f); err != nil {
		return nil, err
	}
	r, err := f.measure.report()
	if err != nil {
		return nil, err
	}
	r.Load, r.Messages = "fetch", f.messages
	return r, nil
}

func (f *fetch) turn(now time.Duration) (time.Duration, bool, error) {
	if !f.measure.over && f.allDone() {
		f.measure.duration = 0 // what there was to read has been read
	}
	if over, err := f.measure.step(now); err != nil || over {
		return 0, true, err
	}
	for _, r := range f.readers {
		if !r.waiting && !r.done {
			f.ask(r, now)
		}
	}
	return -1, false, nil
}

func (f *fetch) allDone() bool {
	for _, r := range f.readers {
		if !r.done {
			return false
		}
	}
	return f.measure.on
}

// ask sends the next request of a connection: the next partition that is not read to its end.
func (f *fetch) ask(r *reader, now time.Duration) {
	for range r.parts {
		r.at = (r.at + 1) % len(r.parts)
		if r.offsets[r.at] >= f.o.To && f.o.Again {
			r.offsets[r.at] = f.o.From
		}
		if r.offsets[r.at] < f.o.To {
			r.sent++
			r.asked, r.waiting = now, true
			r.request.aim(r.parts[r.at], r.offsets[r.at])
			be.PutUint32(r.request.frame[correlationAt:], r.sent)
			r.conn.queue(r.request.frame)
			return
		}
	}
	r.done = true
}

func (f *fetch) answer(i int, id uint32, body []byte) error {
	r := f.readers[i]
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
	next, whole := r.offsets[r.at], int64(0)
	for rest := got.records; len(rest) > 0; {
		v, after, err := batch.Next(rest)
		if errors.Is(err, batch.ErrShort) && len(after) < len(got.records) {
			break // a broker may cut the last batch: those bytes were of no use
		}
		if err != nil {
			return fmt.Errorf("loadgen: fetched bytes: %w", err)
		}
		whole += int64(len(v))
		if v.NextOffset() <= next {
			rest = after // the batch that holds the offset begins before it
			continue
		}
		if f.measure.on {
			f.messages += int64(v.NextOffset() - max(next, v.BaseOffset()))
		}
		next, rest = v.NextOffset(), after
	}
	if next == r.offsets[r.at] && got.high <= next {
		return fmt.Errorf("loadgen: partition %d ends at %d, before %d", r.parts[r.at], got.high, f.o.To)
	}
	r.offsets[r.at], r.waiting = next, false
	now := f.loop.now()
	f.measure.done(now-r.asked, whole)
	if !f.measure.over {
		f.ask(r, now)
	}
	return nil
}
