package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"millrace/test/checker"
)

// compactTopic is cleaned all the time: its segments are small, and so is what they owe.
var compactTopic = topicPlan{"chaos-compacted", 2, map[string]string{
	"cleanup.policy": "compact", "segment.bytes": "1048576", "segment.ms": "1000",
	"min.cleanable.dirty.ratio": "0.01", "delete.retention.ms": "500"}}

const (
	compactKeys   = 300 // of a partition
	seqHeader     = "seq"
	keyHeader     = "key"
	compactRecord = 3000
)

// compacted writes to a compacted topic and judges what is left of it.
type compacted struct {
	c        *checker.Compacted
	cl       *kgo.Client
	stopping chan struct{}
	once     sync.Once
	wait     sync.WaitGroup
	failed   atomic.Pointer[error]
}

func startCompacted(addr string, seed uint64) (*compacted, error) {
	cl, err := kgo.NewClient(clientOpts(addr, kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.MaxBufferedRecords(1500), kgo.ProducerLinger(0), kgo.StopProducerOnDataLossDetected())...)
	if err != nil {
		return nil, err
	}
	c := &compacted{c: checker.NewCompacted(), cl: cl, stopping: make(chan struct{})}
	c.wait.Add(1)
	go c.run(rand.New(rand.NewPCG(seed, 77)))
	return c, nil
}

func (c *compacted) run(r *rand.Rand) {
	defer c.wait.Done()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-c.stopping:
			return
		case <-tick.C:
		}
		for range r.IntN(15) {
			c.send(r.Int32N(compactTopic.partitions), uint32(r.IntN(compactKeys)), r.IntN(8) == 0,
				r.IntN(compactRecord))
		}
	}
}

func (c *compacted) send(partition int32, key uint32, dead bool, size int) {
	place := checker.Place{Topic: compactTopic.name, Partition: partition}
	o := c.c.Intend(place, key, dead)
	rec := &kgo.Record{Topic: place.Topic, Partition: place.Partition, Key: []byte(checker.KeyName(key)),
		Headers: []kgo.RecordHeader{
			{Key: keyHeader, Value: binary.BigEndian.AppendUint32(nil, key)},
			{Key: seqHeader, Value: binary.BigEndian.AppendUint64(nil, o.Seq)},
		}}
	if !dead {
		rec.Value = checker.Payload(o, size)
	}
	c.cl.Produce(context.Background(), rec, func(rec *kgo.Record, err error) {
		if err != nil {
			err = fmt.Errorf("compacted: %s/%d key %d: %w", place.Topic, place.Partition, key, err)
			c.failed.CompareAndSwap(nil, &err)
			return
		}
		c.c.Ack(o, rec.Offset)
	})
}

// errors is the first produce error: there should be none.
func (c *compacted) errors() error {
	if err := c.failed.Load(); err != nil {
		return *err
	}
	return nil
}

// quit ends the sending; close drops what is left.
func (c *compacted) quit() {
	c.once.Do(func() { close(c.stopping) })
}

func (c *compacted) close() {
	c.quit()
	c.cl.Close()
	c.wait.Wait()
}

// finish waits until every record is answered.
func (c *compacted) finish(ctx context.Context) error {
	c.quit()
	c.wait.Wait()
	for i := range compactTopic.partitions {
		c.send(i, compactKeys, false, 100) // a last record that stays: who reads waits for it
	}
	if err := c.cl.Flush(ctx); err != nil {
		return fmt.Errorf("chaos: records of the compacted topic are not answered: %w", err)
	}
	return c.errors()
}

// check reads the topic from its start to its end as of now.
func (c *compacted) check(ctx context.Context, addr string) error {
	places := placesOf(compactTopic)
	admin, err := kgo.NewClient(clientOpts(addr)...)
	if err != nil {
		return err
	}
	defer admin.Close()
	passes := map[checker.Place]*checker.Pass{}
	for _, p := range places {
		passes[p] = c.c.Begin(p)
	}
	extents, err := listBounds(ctx, admin, places)
	if err != nil {
		return err
	}
	from := map[string]map[int32]kgo.Offset{compactTopic.name: {}}
	for p, b := range extents {
		if b.start < b.end {
			from[p.Topic][p.Partition] = kgo.NewOffset().At(b.start)
		} else {
			delete(extents, p)
		}
	}
	cl, err := kgo.NewClient(clientOpts(addr, kgo.ConsumePartitions(from), kgo.FetchMaxWait(100*time.Millisecond),
		kgo.KeepControlRecords())...)
	if err != nil {
		return err
	}
	defer cl.Close()
	if err := c.read(ctx, cl, extents, passes); err != nil {
		return err
	}
	for p := range extents {
		passes[p].End()
	}
	return nil
}

// read goes on until every place was read to its end. A tombstone there may be gone: then
// a later record ends the reading.
func (c *compacted) read(ctx context.Context, cl *kgo.Client, extents map[checker.Place]bounds,
	passes map[checker.Place]*checker.Pass) error {
	left := len(extents)
	done := map[checker.Place]bool{}
	for left > 0 {
		wait, cancel := context.WithTimeout(ctx, scanPatience)
		fetches := cl.PollFetches(wait)
		cancel()
		if fetches.NumRecords() == 0 {
			return fmt.Errorf("%w: %s, %d partitions: %v", errStuck, compactTopic.name, left, fetches.Errors())
		}
		fetches.EachRecord(func(r *kgo.Record) {
			p := checker.Place{Topic: r.Topic, Partition: r.Partition}
			b, reading := extents[p]
			if !reading || done[p] {
				return
			}
			if r.Offset < b.end {
				passes[p].Read(r.Offset, string(r.Key), originOf(p, r), r.Value)
			}
			if r.Offset >= b.end-1 {
				done[p] = true
				left--
			}
		})
	}
	return nil
}

// originOf is what a record's headers say.
func originOf(p checker.Place, r *kgo.Record) checker.Origin {
	o := checker.Origin{Place: p, Producer: ^uint32(0)}
	for _, h := range r.Headers {
		switch {
		case h.Key == keyHeader && len(h.Value) == 4:
			o.Producer = binary.BigEndian.Uint32(h.Value)
		case h.Key == seqHeader && len(h.Value) == 8:
			o.Seq = binary.BigEndian.Uint64(h.Value)
		}
	}
	return o
}
