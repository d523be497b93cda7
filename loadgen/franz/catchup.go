package franz

import (
	"context"
	"fmt"
	"time"

	"millrace/loadgen/measure"
	"millrace/loadgen/result"

	"github.com/twmb/franz-go/pkg/kgo"
)

// catchUp reads every partition from its first message to its last, and then again: a consumer
// that is far behind, beside those at the end.
type catchUp struct {
	l       *load
	n       int
	cl      *kgo.Client
	rec     *measure.Shared
	wire    wire
	pending map[int]int64 // by place: the end of this round, not yet reached

	received, bytes int64
	first           int64 // when the first round was over
	began           int64
}

func newCatchUp(l *load, n int) (*catchUp, error) {
	c := &catchUp{l: l, n: n, rec: l.m.Shared(measure.EndToEnd), wire: wire{l: l}}
	var err error
	c.cl, err = newClient(l.w, append(fetchOptions(l.w), kgo.WithHooks(&c.wire))...)
	return c, err
}

// round begins to read everything that there is now, from the first message on. False means that
// there is nothing.
func (c *catchUp) round(ctx context.Context) (bool, error) {
	starts, err := listOffsets(ctx, c.l.admin, c.l.w, -2)
	if err != nil {
		return false, err
	}
	ends, err := listOffsets(ctx, c.l.admin, c.l.w, -1)
	if err != nil {
		return false, err
	}
	c.pending = map[int]int64{}
	from, old := map[string]map[int32]kgo.Offset{}, map[string][]int32{}
	for t, name := range c.l.names {
		from[name] = map[int32]kgo.Offset{}
		for p, end := range ends[name] {
			old[name] = append(old[name], int32(p))
			if end > starts[name][p] {
				from[name][int32(p)] = kgo.NewOffset().At(starts[name][p])
				c.pending[t*c.l.w.Partitions+p] = end
			}
		}
	}
	c.cl.RemoveConsumePartitions(old)
	c.cl.AddConsumePartitions(from)
	return len(c.pending) > 0, nil
}

// run reads until ctx ends.
func (c *catchUp) run(ctx context.Context) {
	c.began = c.l.m.Now()
	var faults faults
	for ctx.Err() == nil {
		some, err := c.round(ctx)
		for err == nil && len(c.pending) > 0 {
			f := c.cl.PollFetches(ctx)
			if ctx.Err() != nil || f.IsClientClosed() {
				return
			}
			err = faults.of(f, c.l.m.Now())
			c.take(f)
		}
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			code, name := errorName(err)
			c.rec.Do(func(r *measure.Recorder) { r.Fail(code, name, err.Error()) })
			if fatal(err) {
				c.l.stop(fmt.Errorf("loadgen: fetch of a reader that catches up: %w", err))
				return
			}
		case some && c.first == 0:
			c.first = c.l.m.Now()
		}
		if !some {
			pause(ctx, 100*time.Millisecond)
		}
	}
}

func (c *catchUp) take(f kgo.Fetches) {
	count := int64(0)
	f.EachPartition(func(p kgo.FetchTopicPartition) {
		n := len(p.Records)
		if n == 0 {
			return
		}
		count += int64(n)
		place := c.l.place(p.Topic, p.Partition)
		if end, there := c.pending[place]; there && p.Records[n-1].Offset+1 >= end {
			delete(c.pending, place)
		}
	})
	now := c.l.m.Now()
	if c.l.measuring(now) {
		c.received += count
		c.bytes += int64(c.wire.each()*float64(count) + 0.5)
	}
	c.rec.Do(func(r *measure.Recorder) {
		r.Turn(now)
		r.CatchUp += count
	})
}

func (c *catchUp) close() { c.cl.Close() }

func (c *catchUp) result() result.Reader {
	r := result.Reader{Name: fmt.Sprintf("catch-up %d", c.n), CatchUp: true, Consumers: 1,
		Received: c.received, Bytes: c.bytes}
	if c.first > 0 {
		r.Behind = float64(c.first-c.began) / 1e9
	}
	return r
}
