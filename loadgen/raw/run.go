package raw

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"millrace/loadgen/ledger"
	"millrace/loadgen/measure"
	"millrace/loadgen/result"
	"millrace/loadgen/workload"
	"millrace/protocol/batch"
)

// run is one load while it goes on.
type run struct {
	w       *workload.Workload
	m       *measure.Measurement
	cluster *cluster
	topics  []string
	codec   batch.Codec
	id      uint32 // in the stamps
	lanes   int
	threads []*thread
	fetch   fetchShape
	hello   []byte
	errAt   []int32 // by topic: where a produce answer has its error

	routing    atomic.Pointer[routing]
	generation atomic.Int64
	moved      chan string // leaders have moved: why that is believed

	book   *ledger.Book // verify
	groups []*group
	firsts atomic.Pointer[[]int64] // by place: the log's first offset
	begins []int64                 // where reading begins
	last   []int64                 // where it ends; nil: To does
	aged   atomic.Bool             // retention was faster than a reader

	ends     []atomic.Int64 // by place: behind what was acknowledged; nil: nothing is written
	stored   atomic.Int64   // bytes acknowledged, where a backlog is wanted
	limited  bool           // no more messages than budget are sent
	budget   atomic.Int64
	writing  atomic.Int64 // threads whose producers still await something
	reading  atomic.Int64 // consumers that have not read all
	resting  atomic.Int64 // idle and slow connections that stand
	lastGood atomic.Int64 // when a request last succeeded
	firstBad atomic.Int64 // when the first failed after that
	patience time.Duration

	hungAfter time.Duration
}

const (
	// drainPatience is how long answers are awaited when the measurement has ended.
	drainPatience = 10 * time.Second
	// verifyPatience is more: impatience must not look like a loss.
	verifyPatience = time.Minute
	// stoppedPatience is how long they are when the run was stopped.
	stoppedPatience = time.Second
	// leaderPatience is how long a topic may take to have leaders.
	leaderPatience = 30 * time.Second
	// readOnlyTime bounds a check of what is on a topic: it ends when all has been read.
	readOnlyTime = 240 * time.Hour
)

// codecs by the names that workloads use.
var codecs = map[string]batch.Codec{"none": batch.None, "gzip": batch.Gzip,
	"snappy": batch.Snappy, "lz4": batch.LZ4, "zstd": batch.Zstd}

// Run puts the load on its target. The result is there even when the run ended early: Partial says
// why. An error without a result means that it never began; one with a result that the generator
// itself failed, or that a verify found something wrong (ledger.ErrWrong).
func Run(ctx context.Context, w *workload.Workload, observers ...result.Observer) (*result.Run, error) {
	r, err := newRun(w)
	if err != nil {
		return nil, err
	}
	if err := r.prepare(ctx, observers); err != nil {
		for _, t := range r.threads {
			t.close()
		}
		return nil, err
	}
	r.drive(ctx)
	return r.conclude()
}

func newRun(w *workload.Workload) (*run, error) {
	if w.Client != workload.Raw {
		return nil, fmt.Errorf("raw: the load is for the client %s", w.Client)
	}
	if err := w.Check(); err != nil {
		return nil, err
	}
	r := &run{w: w, topics: w.TopicNames(), codec: codecs[w.Codec],
		id: uint32(time.Now().UnixNano() / 1e6), patience: drainPatience,
		moved: make(chan string, 1), hungAfter: hungPatience,
		fetch: fetchShape{waitMillis: int32(w.FetchWait.Milliseconds()), minBytes: 1,
			maxBytes: int32(w.FetchBytes), committed: w.ReadCommitted}}
	if w.Mode == workload.Verify {
		r.patience = verifyPatience
	}
	return r, nil
}

// prepare does everything that comes before the clock: brokers are asked, connections made,
// batches encoded.
func (r *run) prepare(ctx context.Context, observers []result.Observer) error {
	w := r.w
	var err error
	r.cluster, err = openCluster(ctx, w.Brokers, r.topics, w.Partitions)
	if err != nil {
		return err
	}
	to, err := r.cluster.waitWhole(ctx, leaderPatience)
	if err != nil {
		return err
	}
	r.lanes = 0
	if w.Produces() {
		r.lanes = max(w.Connections, len(to.leading()))
	}
	r.deal(to)
	r.routing.Store(to)
	if err := r.positions(ctx, to); err != nil {
		return err
	}
	cost, err := result.NewCostSource(w.BrokerPid, w.Admin)
	if err != nil {
		return err
	}
	o := measure.Options{Warmup: w.Warmup, Duration: w.Duration, Interval: w.Interval,
		Messages: w.Messages, MaxBytes: w.MaxBytes, Reading: !w.Produces(), Cost: cost,
		Observers: observers}
	if w.Produces() {
		o.Rate = w.Rate.PerSecond
	}
	if w.Mode == workload.Verify && w.ReadOnly {
		o.Warmup, o.Duration = 0, readOnlyTime
	}
	r.m = measure.New(o)
	if err := r.people(); err != nil {
		return err
	}
	r.m.Begin()
	return nil
}

// people makes threads and their members.
func (r *run) people() error {
	kinds := []measure.Kind{measure.Response, measure.Service, measure.Delay, measure.Late}
	if r.w.Consumes() {
		kinds = append(kinds, measure.EndToEnd)
	}
	if r.w.Mode == workload.Connections {
		kinds = append(kinds, measure.Connect)
	}
	for range r.w.Threads {
		t, err := newThread(r, kinds)
		if err != nil {
			return err
		}
		r.threads = append(r.threads, t)
	}
	r.writing.Store(int64(len(r.threads)))
	if r.w.Produces() {
		if err := r.addLanes(); err != nil {
			return err
		}
	}
	if r.w.Consumes() {
		if err := r.addConsumers(); err != nil {
			return err
		}
	}
	if r.w.Mode == workload.Connections {
		return r.addIdlers()
	}
	return nil
}

// addLanes makes the producing connections, and everything they will send.
func (r *run) addLanes() error {
	w, to := r.w, r.routing.Load()
	places := len(r.topics) * w.Partitions
	r.ends = make([]atomic.Int64, places)
	if err := raiseOpenFiles(r.lanes + 256); err != nil {
		return err
	}
	if w.Mode == workload.Verify {
		r.book = ledger.New(r.id, r.lanes, places, r.placeName)
	}
	if r.limited = w.Messages > 0 && w.Warmup == 0; r.limited {
		r.budget.Store(w.Messages)
	}
	for _, name := range r.topics {
		r.errAt = append(r.errAt, int32(r.cluster.versions.produceErrorAt(name)))
	}
	clock := measure.NewClock()
	now := clock.Now()
	wall := clock.Wall(now).UnixNano() - now
	for i := range r.lanes {
		share := &to.shares[i]
		recipe, err := newRecipe(r, i)
		if err != nil {
			return err
		}
		t := r.threads[i%len(r.threads)]
		l := &lane{recipe: recipe, stream: i, most: uint64(w.InFlight), errAt: r.errAt, wall: wall,
			numbers: map[int]uint64{}}
		if l.slots, err = recipe.slots(share.places, share.least); err != nil {
			return err
		}
		if w.OpenLoop() {
			l.schedule = w.NewSchedule(i, r.lanes, l.perSecond(share.weight))
		}
		fd, err := dial(share.broker.addr)
		if err != nil {
			return err
		}
		if l.wired, err = wire(t, l, t.join(l), share.broker.addr, fd, 8<<10); err != nil {
			return err
		}
	}
	return nil
}

// perSecond is how much is due on all lanes together when each has as much as this one:
// messages with linger, else batches.
func (l *lane) perSecond(weight float64) float64 {
	rate := l.recipe.w.Rate.PerSecond * weight
	if l.recipe.cuttable || len(l.slots) == 0 {
		return rate
	}
	messages := 0
	for i := range l.slots {
		messages += l.slots[i].records
	}
	return rate * float64(len(l.slots)) / float64(messages)
}

// positions finds out where reading begins and ends.
func (r *run) positions(ctx context.Context, to *routing) error {
	w := r.w
	if !w.Consumes() {
		return nil
	}
	const first, end = -2, -1
	firsts, err := r.cluster.offsets(ctx, to, first)
	if err != nil {
		return err
	}
	r.firsts.Store(&firsts)
	ends, err := r.cluster.offsets(ctx, to, end)
	if err != nil {
		return err
	}
	r.begins = make([]int64, len(ends))
	for p := range r.begins {
		switch at := w.Offset(); {
		case w.Backlog > 0 || at == first && w.Produces() && w.Mode == workload.Verify:
			r.begins[p] = ends[p] // all that this run writes, and nothing else
		case at == first:
			r.begins[p] = firsts[p]
		case at == end:
			r.begins[p] = ends[p]
		default:
			r.begins[p] = at
		}
	}
	if w.Mode == workload.Verify && w.ReadOnly {
		r.last = ends
		if w.To > 0 {
			for p := range ends {
				ends[p] = min(ends[p], w.To)
			}
		}
	}
	return nil
}

// to is the offset that reading of a place ends before.
func (r *run) to(place int) int64 {
	switch {
	case r.last != nil:
		return r.last[place]
	case r.w.To > 0 && !r.w.Produces():
		return r.w.To
	}
	return never
}

// addConsumers makes the groups with their consumers.
func (r *run) addConsumers() error {
	w := r.w
	for g := range w.Groups {
		one := &group{name: fmt.Sprintf("%s-%d", nonEmpty(w.Group, "group"), g)}
		if r.book != nil {
			one.reading = r.book.Reading()
		} else if w.Mode == workload.Verify {
			one.reading = ledger.NewReading(len(r.begins), w.Offset() == -2, r.placeName)
		}
		r.groups = append(r.groups, one)
	}
	for c := range w.CatchUp {
		if w.Mode == workload.Mixed {
			r.groups = append(r.groups, &group{name: fmt.Sprintf("catch-up-%d", c), catchUp: true})
		}
	}
	k := 0
	for _, g := range r.groups {
		n := w.Consumers
		if g.catchUp {
			n = 1
		}
		for i := range n {
			// Beside producers, consumers go to the threads from the last one on.
			t := r.threads[len(r.threads)-1-k%len(r.threads)]
			k++
			if err := r.addConsumer(t, g, i, n); err != nil {
				return err
			}
		}
	}
	return nil
}

func nonEmpty(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// addConsumer makes consumer i of n of a group: every n-th partition is its own.
func (r *run) addConsumer(t *thread, g *group, i, n int) error {
	c := &consumer{group: g, t: t, byPlace: map[int]*position{}}
	for p := i; p < len(r.begins); p += n {
		at := &position{place: p, offset: r.begins[p]}
		if g.catchUp {
			at.offset = (*r.firsts.Load())[p]
		}
		c.parts = append(c.parts, at)
		c.byPlace[p] = at
	}
	if r.w.Produces() && len(r.groups) > 1 {
		c.latency = result.NewHistogram()
	}
	g.all = append(g.all, c)
	if !g.catchUp {
		r.reading.Add(1)
	}
	to := r.routing.Load()
	for _, p := range c.parts {
		b := to.brokers[to.leaders[p.place]]
		for _, have := range c.readers {
			if have.broker == b.id {
				p.reader = have
			}
		}
		if p.reader == nil {
			fd, err := dial(b.addr)
			if err != nil {
				return err
			}
			p.reader = c.newReader(b, fd, 0)
		}
		p.reader.parts = append(p.reader.parts, p)
	}
	return nil
}

// drive lets the threads go and looks after them until they have ended.
func (r *run) drive(ctx context.Context) {
	watching, stop := context.WithCancel(ctx)
	var keepers, workers sync.WaitGroup
	keepers.Go(func() { r.supervise(watching) })
	r.m.Until(ctx)
	for _, t := range r.threads {
		workers.Go(t.loop)
	}
	workers.Wait()
	stop()
	keepers.Wait()
}

// mayRead says whether the backlog that consumers wait for is there.
func (r *run) mayRead() bool { return r.w.Backlog == 0 || r.stored.Load() >= r.w.Backlog }

// acked notes what is stored now.
func (r *run) acked(s *slot, stream int, base int64) {
	if r.w.Backlog > 0 {
		r.stored.Add(int64(s.shapeSize))
	}
	if r.book != nil {
		r.book.Acked(uint32(stream), s.place, s.first, s.n)
	}
	if !r.w.Consumes() || base < 0 {
		return
	}
	end := &r.ends[s.place]
	for to := base + int64(s.n); ; {
		have := end.Load()
		if to <= have || end.CompareAndSwap(have, to) {
			return
		}
	}
}

// stampOf reads when a message was due; ok is false when it is none of this run's.
func (r *run) stampOf(g *group, place int, offset int64, value []byte) (due int64, ok bool) {
	if g.reading != nil {
		s, fresh := g.reading.Take(place, offset, value)
		if r.book == nil {
			return 0, fresh // of another run, perhaps of another machine's clock
		}
		return s.Due, fresh
	}
	s, stamped := workload.Stamped(value)
	return s.Due, stamped && s.Run == r.id
}

func (r *run) placeName(place int) string {
	return placeName(r.topics[place/r.w.Partitions], int32(place%r.w.Partitions))
}
