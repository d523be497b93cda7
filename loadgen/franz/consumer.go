package franz

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"millrace/loadgen/ledger"
	"millrace/loadgen/measure"
	"millrace/loadgen/result"
	"millrace/loadgen/workload"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// caughtUp is how few messages behind the producers counts as not behind.
const caughtUp = 1000

// group is consumers that share all partitions: one consumer group, or partitions dealt out here.
type group struct {
	l         *load
	name      string
	fresh     bool // nobody has committed offsets under this name
	reading   *ledger.Reading
	consumers []*consumer
	next      []atomic.Int64 // by place: the offset behind what was read; −1: nothing yet
	high      []atomic.Int64 // by place: the end as the broker told it last
	owned     atomic.Int64   // partitions that have a consumer

	received, bytes atomic.Int64 // within the measurement
	total           atomic.Int64 // messages, of all the run

	mu        sync.Mutex
	endToEnd  *hdrhistogram.Histogram
	caughtUp  int64 // when everything written so far had been read for the first time
	beganWith int64 // when the first consumer began
}

// consumer is one member.
type consumer struct {
	g    *group
	n    int
	cl   *kgo.Client
	rec  *measure.Shared
	wire wire
}

func newGroup(l *load, n int) (*group, error) {
	w := l.w
	places := len(l.names) * w.Partitions
	g := &group{l: l, next: make([]atomic.Int64, places), high: make([]atomic.Int64, places),
		endToEnd: result.NewHistogram()}
	for i := range g.next {
		g.next[i].Store(-1)
	}
	if w.Group == "" {
		g.name, g.fresh = fmt.Sprintf("loadgen-%08x-%d", l.id, n), true
	} else if g.name = w.Group; w.Groups > 1 {
		g.name = fmt.Sprintf("%s-%d", w.Group, n)
	}
	switch {
	case l.book != nil:
		g.reading = l.book.Reading()
	case w.Mode == workload.Verify:
		g.reading = ledger.NewReading(places, w.From == workload.FromStart, l.placeName)
	}
	for i := range w.Consumers {
		c, err := newConsumer(g, i)
		if err != nil {
			return nil, err
		}
		g.consumers = append(g.consumers, c)
	}
	return g, nil
}

func newConsumer(g *group, n int) (*consumer, error) {
	w := g.l.w
	c := &consumer{g: g, n: n, rec: g.l.m.Shared(measure.EndToEnd), wire: wire{l: g.l}}
	opts := append(fetchOptions(w), kgo.WithHooks(&c.wire))
	if w.Direct() {
		opts = append(opts, kgo.ConsumePartitions(g.share(n)))
	} else {
		opts = append(opts, kgo.ConsumerGroup(g.name), kgo.ConsumeTopics(g.l.names...),
			kgo.AdjustFetchOffsetsFn(g.begin),
			kgo.OnPartitionsAssigned(func(_ context.Context, _ *kgo.Client, p map[string][]int32) {
				g.owned.Add(countOf(p))
			}),
			kgo.OnPartitionsRevoked(func(_ context.Context, _ *kgo.Client, p map[string][]int32) {
				g.owned.Add(-countOf(p))
			}),
			kgo.OnPartitionsLost(func(_ context.Context, _ *kgo.Client, p map[string][]int32) {
				g.owned.Add(-countOf(p))
			}))
		if w.Commit > 0 {
			opts = append(opts, kgo.AutoCommitInterval(w.Commit))
		} else {
			opts = append(opts, kgo.DisableAutoCommit())
		}
	}
	var err error
	c.cl, err = newClient(w, opts...)
	return c, err
}

// fetchOptions are those of every client that reads.
func fetchOptions(w *workload.Workload) []kgo.Opt {
	opts := []kgo.Opt{
		kgo.FetchMaxBytes(int32(w.FetchBytes)), kgo.FetchMaxPartitionBytes(int32(w.FetchBytes)),
		kgo.FetchMaxWait(max(w.FetchWait, 10*time.Millisecond)), kgo.FetchMinBytes(1),
		kgo.BrokerMaxReadBytes(int32(min(1<<31-1, max(100<<20, 2*int64(w.FetchBytes))))),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.KeepRetryableFetchErrors(),
		kgo.KeepControlRecords(), // their offsets are how far a reader is
	}
	if w.ReadCommitted {
		opts = append(opts, kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	}
	return opts
}

func countOf(p map[string][]int32) (n int64) {
	for _, list := range p {
		n += int64(len(list))
	}
	return n
}

// share is every consumer's part where loadgen deals partitions out: every so many-th one.
func (g *group) share(n int) map[string]map[int32]kgo.Offset {
	l, out := g.l, map[string]map[int32]kgo.Offset{}
	for place := n; place < len(g.next); place += l.w.Consumers {
		name, p := l.names[place/l.w.Partitions], int32(place%l.w.Partitions)
		if out[name] == nil {
			out[name] = map[int32]kgo.Offset{}
		}
		out[name][p] = kgo.NewOffset().At(l.starts[name][p])
		g.owned.Add(1)
	}
	return out
}

// begin says where a member reads a partition that it was given: where this group was before, else
// where nothing was committed from the load's starts.
func (g *group) begin(_ context.Context, given map[string]map[int32]kgo.Offset) (
	map[string]map[int32]kgo.Offset, error) {
	for topic, parts := range given {
		for p, o := range parts {
			place := g.l.place(topic, p)
			if place < 0 {
				continue // more partitions than the load knows of
			}
			if at := g.next[place].Load(); at >= 0 {
				parts[p] = kgo.NewOffset().At(at)
			} else if g.fresh || o.EpochOffset().Offset < 0 {
				parts[p] = kgo.NewOffset().At(g.l.starts[topic][p])
			}
		}
	}
	return given, nil
}

func (g *group) start(ctx context.Context, running *sync.WaitGroup) {
	for _, c := range g.consumers {
		running.Go(func() { c.run(ctx) })
	}
}

func (g *group) complete() bool { return g.missing() <= 0 }
func (g *group) missing() int64 { return int64(len(g.next)) - g.owned.Load() }

// notFormed says why the group has not come about, as far as its consumers know.
func (g *group) notFormed() error {
	err := fmt.Errorf("loadgen: group %s has no consumer for %d of its partitions after %v",
		g.name, g.missing(), assignLimit)
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	for _, c := range g.consumers {
		var faults faults
		if why := faults.of(c.cl.PollFetches(ctx), 0); why != nil {
			return fmt.Errorf("%w: %w", err, why)
		}
	}
	return err
}

// run reads until ctx ends.
func (c *consumer) run(ctx context.Context) {
	l := c.g.l
	select {
	case <-ctx.Done():
		return
	case <-l.begun:
	}
	var faults faults
	for {
		fetches := c.cl.PollFetches(ctx)
		if ctx.Err() != nil || fetches.IsClientClosed() {
			return
		}
		now := l.m.Now()
		if err := faults.of(fetches, now); err != nil {
			code, name := errorName(err)
			c.rec.Do(func(r *measure.Recorder) { r.Fail(code, name, err.Error()) })
			if fatal(err) {
				l.stop(fmt.Errorf("loadgen: fetch: %w", err))
				return
			}
			pause(ctx, 100*time.Millisecond)
		}
		c.take(fetches, now)
	}
}

// faults tells errors that count from those that the library deals with by itself.
type faults struct{ unknownSince int64 }

func (s *faults) of(f kgo.Fetches, now int64) (err error) {
	lost := false
	f.EachError(func(topic string, p int32, e error) {
		var k *kerr.Error
		switch {
		case err != nil || errors.Is(e, context.Canceled):
		case topic == "": // of the group
			err = e
		case unknown(e):
			lost = true
			if s.unknownSince == 0 {
				s.unknownSince = now
			}
			if now-s.unknownSince > int64(unknownLimit) {
				err = fmt.Errorf("%s-%d: %w (was the topic deleted?)", topic, p, e)
			}
		case errors.As(e, &k) && k.Retriable:
		default:
			err = fmt.Errorf("%s-%d: %w", topic, p, e)
		}
	})
	if !lost && f.NumRecords() > 0 {
		s.unknownSince = 0
	}
	return err
}

// take notes what a poll has brought.
func (c *consumer) take(f kgo.Fetches, now int64) {
	g, l := c.g, c.g.l
	each := c.wire.each()
	count, bytes := int64(0), int64(0)
	var over []int // places that are to be read again
	c.rec.Do(func(r *measure.Recorder) {
		r.Turn(now)
		r.Requests += requestsOf(l, &c.wire)
		f.EachPartition(func(p kgo.FetchTopicPartition) {
			place := l.place(p.Topic, p.Partition)
			if place < 0 {
				return
			}
			for _, rec := range p.Records {
				if l.w.To > 0 && rec.Offset >= l.w.To {
					g.next[place].Store(rec.Offset)
					break
				}
				g.next[place].Store(rec.Offset + 1)
				if rec.Attrs.IsControl() {
					continue
				}
				count++
				g.message(r, place, rec, now)
			}
			if l.w.Again && g.next[place].Load() >= g.until(place) {
				over = append(over, place)
			}
			if p.HighWatermark > 0 {
				g.high[place].Store(p.HighWatermark)
			}
		})
		bytes = int64(each*float64(count) + 0.5)
		r.Received += count
		r.ReceivedBytes += bytes
		r.Lag = g.lag() / int64(len(g.consumers))
	})
	g.total.Add(count)
	if l.measuring(now) {
		g.received.Add(count)
		g.bytes.Add(bytes)
	}
	g.noteCaughtUp(now)
	for _, place := range over {
		c.again(place)
	}
}

// again goes back to where reading began.
func (c *consumer) again(place int) {
	g, l := c.g, c.g.l
	name, p := l.names[place/l.w.Partitions], int32(place%l.w.Partitions)
	at := g.from(place)
	g.next[place].Store(at)
	if !l.w.Direct() {
		c.cl.SetOffsets(map[string]map[int32]kgo.EpochOffset{name: {p: {Epoch: -1, Offset: at}}})
		return
	}
	c.cl.RemoveConsumePartitions(map[string][]int32{name: {p}})
	c.cl.AddConsumePartitions(map[string]map[int32]kgo.Offset{name: {p: kgo.NewOffset().At(at)}})
}

// until is where reading a partition ends, of a load that only reads.
func (g *group) until(place int) int64 {
	if g.l.w.To > 0 {
		return g.l.w.To
	}
	return g.l.ends[g.l.names[place/g.l.w.Partitions]][place%g.l.w.Partitions]
}

// from is where it begins.
func (g *group) from(place int) int64 {
	return g.l.starts[g.l.names[place/g.l.w.Partitions]][place%g.l.w.Partitions]
}

// requestsOf counts fetches only where there are no produce requests to be counted.
func requestsOf(l *load, w *wire) int64 {
	n := w.requests.Swap(0)
	if l.w.Produces() {
		return 0
	}
	return n
}

// message notes one: its place in the ledger, and how long it took from its intended send.
func (g *group) message(r *measure.Recorder, place int, rec *kgo.Record, now int64) {
	var s workload.Stamp
	ok := false
	if g.reading != nil {
		s, ok = g.reading.Take(place, rec.Offset, rec.Value)
	} else {
		s, ok = workload.Stamped(rec.Value)
	}
	if !ok || s.Run != g.l.id || !g.l.w.Produces() {
		return
	}
	r.Record(measure.EndToEnd, s.Due, now)
	if len(g.l.groups) > 1 && g.l.measuring(s.Due) {
		g.mu.Lock()
		_ = g.endToEnd.RecordValue(min(max(now-s.Due, result.Lowest), result.Highest))
		g.mu.Unlock()
	}
}

// lag is how many messages are between what was read and the end, as far as both are known.
func (g *group) lag() (n int64) {
	for i := range g.next {
		if at, high := g.next[i].Load(), g.high[i].Load(); at >= 0 && high > at {
			n += high - at
		}
	}
	return n
}

func (g *group) noteCaughtUp(now int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.caughtUp == 0 && g.l.w.Backlog > 0 && g.l.acked.Load()-g.total.Load() <= caughtUp {
		g.caughtUp = now
	}
}

// done says that every partition has been read to where it shall end.
func (g *group) done() bool {
	for i := range g.next {
		if max(g.next[i].Load(), g.from(i)) < g.until(i) {
			return false
		}
	}
	return true
}

// catchUpTo waits until everything before ends has been read, or for so long nothing more came; it
// returns how many messages are left.
func (g *group) catchUpTo(ends offsets, patience time.Duration) int64 {
	last, since := int64(-1), time.Now()
	for {
		behind := int64(0)
		for i := range g.next {
			end := ends[g.l.names[i/g.l.w.Partitions]][i%g.l.w.Partitions]
			behind += max(0, end-max(g.next[i].Load(), g.from(i)))
		}
		if behind == 0 {
			return 0
		}
		if behind != last {
			last, since = behind, time.Now()
		} else if time.Since(since) > patience {
			return behind
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func (g *group) closeRecorders() {
	for _, c := range g.consumers {
		c.rec.Close()
	}
}

func (g *group) result() result.Reader {
	r := result.Reader{Name: g.name, Consumers: len(g.consumers), Received: g.received.Load(),
		Bytes: g.bytes.Load(), Lag: g.lag()}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.caughtUp > 0 {
		r.Behind = float64(g.caughtUp-g.beganWith) / 1e9
	}
	if g.endToEnd.TotalCount() > 0 {
		s := result.Summarize(g.endToEnd)
		r.EndToEnd = &s
	}
	return r
}
