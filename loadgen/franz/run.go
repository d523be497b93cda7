package franz

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"millrace/loadgen/ledger"
	"millrace/loadgen/measure"
	"millrace/loadgen/result"
	"millrace/loadgen/workload"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Limits of the time behind the measurement.
const (
	drainLimit  = 40 * time.Second // for acknowledgements: above deliveryLimit
	readLimit   = 30 * time.Second // for readers, while nothing more comes
	assignLimit = 60 * time.Second // for groups to be formed
	hurry       = 2 * time.Second  // for all of it when the user wants to go, or the load has failed
	closeLimit  = 5 * time.Second  // for clients to say good-bye
)

// load is one run.
type load struct {
	w     *workload.Workload
	m     *measure.Measurement
	admin *kgo.Client

	topics   map[string]int // by name: their number
	names    []string
	id       uint32       // of the run, in the stamps
	book     *ledger.Book // nil: nothing is verified
	starts   offsets      // where consumers begin that have no offset of their own
	groups   []*group
	readers  []*catchUp
	writers  []*producer
	inFlight atomic.Int64 // messages handed to the library and not yet acknowledged
	acked    atomic.Int64 // messages, over everything
	bytes    atomic.Int64
	lastAck  atomic.Int64 // when
	ends     offsets      // of a load that only reads: where the logs ended when it began

	sending context.Context // of messages: ends when nobody waits for them any more
	giveUp  context.CancelFunc

	lastAnswer atomic.Int64 // of any request
	noAnswer   atomic.Pointer[unreachable]
	failure    failure
	begun      chan struct{} // closed when consumers may read
	unread     bool          // at the end somebody had not read everything
}

// failure is the first error that ended the load.
type failure struct {
	mu  sync.Mutex
	err error
}

func (f *failure) set(err error) (first bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err != nil {
		return false
	}
	f.err = err
	return true
}

func (f *failure) get() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.err
}

// Run makes the load and returns what it has shown. Why a load ended early is in its result's
// Partial; an error comes with a result when it is ledger.ErrWrong, and alone when the load could
// not begin.
func Run(ctx context.Context, w *workload.Workload, observers ...result.Observer) (*result.Run, error) {
	cost, err := brokerCost(w)
	if err != nil {
		return nil, err
	}
	l := &load{w: w, names: w.TopicNames(), topics: map[string]int{}, begun: make(chan struct{}),
		m: measure.New(measure.Options{Warmup: w.Warmup, Duration: w.Duration, Interval: w.Interval,
			Messages: w.Messages, MaxBytes: w.MaxBytes, Reading: !w.Produces(),
			Rate: w.Rate.PerSecond, Cost: cost, Observers: observers})}
	l.id = uint32(l.m.Now()>>10) | 1
	for i, name := range l.names {
		l.topics[name] = i
	}
	if l.admin, err = newClient(w); err != nil {
		return nil, err
	}
	defer l.admin.Close()
	if w.Mode == workload.Txn {
		if err := supportsTransactions(ctx, l.admin); err != nil {
			return nil, err
		}
	}
	defer l.close()
	if err := l.prepare(ctx); err != nil {
		return nil, err
	}
	return l.run(ctx)
}

func brokerCost(w *workload.Workload) (*result.CostSource, error) {
	if w.BrokerPid == 0 && w.Admin == "" {
		return nil, nil
	}
	return result.NewCostSource(w.BrokerPid, w.Admin)
}

// prepare makes producers and consumers; groups are formed before the first message (F2).
func (l *load) prepare(ctx context.Context) error {
	w := l.w
	at := int64(-1)
	if w.From == workload.FromStart {
		at = -2
	}
	var err error
	if l.starts, err = listOffsets(ctx, l.admin, w, at); err != nil {
		return err
	}
	if n := w.Offset(); n >= 0 {
		for _, list := range l.starts {
			for p := range list {
				list[p] = n
			}
		}
	}
	if !w.Produces() {
		if l.ends, err = listOffsets(ctx, l.admin, w, -1); err != nil {
			return err
		}
	}
	places := len(l.names) * w.Partitions
	if w.Mode == workload.Verify && w.Produces() || w.Mode == workload.Txn {
		l.book = ledger.New(l.id, w.Connections, places, l.placeName)
	}
	if w.Produces() {
		for i := range w.Connections {
			p, err := newProducer(l, i)
			if err != nil {
				return err
			}
			l.writers = append(l.writers, p)
			if err := p.identify(ctx); err != nil {
				return err
			}
		}
	}
	if !w.Consumes() {
		return nil
	}
	for i := range w.Groups {
		g, err := newGroup(l, i)
		if err != nil {
			return err
		}
		l.groups = append(l.groups, g)
	}
	for i := range w.CatchUp {
		c, err := newCatchUp(l, i)
		if err != nil {
			return err
		}
		l.readers = append(l.readers, c)
	}
	return nil
}

func (l *load) placeName(p ledger.Place) string {
	return fmt.Sprintf("%s-%d", l.names[p/l.w.Partitions], p%l.w.Partitions)
}

// place is a partition's number over all topics, or −1.
func (l *load) place(topic string, partition int32) int {
	t, ok := l.topics[topic]
	if !ok || partition < 0 || int(partition) >= l.w.Partitions {
		return -1
	}
	return t*l.w.Partitions + int(partition)
}

// run is the course of a load: consumers, warm-up, measurement, drain.
func (l *load) run(ctx context.Context) (*result.Run, error) {
	reading, stopReading := context.WithCancel(context.Background())
	defer stopReading()
	var readers sync.WaitGroup
	defer readers.Wait()
	defer stopReading()

	l.sending, l.giveUp = context.WithCancel(context.Background())
	defer l.giveUp()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(hurry, l.giveUp) })()
	l.lastAnswer.Store(l.m.Now())

	if err := l.startGroups(ctx, reading, &readers); err != nil {
		return nil, err
	}
	l.m.Begin()
	l.m.Until(ctx)
	l.lastAck.Store(l.m.Now())
	if l.w.Backlog == 0 {
		l.letRead()
	}
	var writers sync.WaitGroup
	for _, p := range l.writers {
		writers.Go(func() { p.run(ctx) })
	}
	for _, c := range l.readers {
		readers.Go(func() { c.run(reading) })
	}
	if l.w.Backlog > 0 {
		readers.Go(func() { l.behindBacklog(reading) })
	}
	l.watch(ctx)
	writers.Wait()
	l.drain(ctx)
	stopReading()
	readers.Wait()
	return l.result()
}

// measuring says that a moment lies within the measurement.
func (l *load) measuring(at int64) bool {
	return at >= l.m.Started()+int64(l.w.Warmup) && at < l.m.End()
}

// startGroups starts the consumers and waits until every partition has one in every group.
func (l *load) startGroups(ctx, reading context.Context, running *sync.WaitGroup) error {
	for _, g := range l.groups {
		g.start(reading, running)
	}
	until := time.Now().Add(assignLimit)
	for _, g := range l.groups {
		for !g.complete() {
			if time.Now().After(until) {
				return g.notFormed()
			}
			if !pause(ctx, 10*time.Millisecond) {
				return ctx.Err()
			}
		}
	}
	return nil
}

// letRead lets the consumers begin, which have their partitions.
func (l *load) letRead() {
	for _, g := range l.groups {
		g.beganWith = l.m.Now()
	}
	close(l.begun)
}

// behindBacklog lets them when enough has been written.
func (l *load) behindBacklog(reading context.Context) {
	for l.bytes.Load() < l.w.Backlog {
		if l.m.Over(l.m.Now()) {
			l.stop(fmt.Errorf("loadgen: a backlog of %d bytes was not reached: there are %d",
				l.w.Backlog, l.bytes.Load()))
			return
		}
		if !pause(reading, 10*time.Millisecond) {
			return
		}
	}
	l.letRead()
}

func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

// stop ends the load early.
func (l *load) stop(err error) {
	if l.failure.set(err) {
		time.AfterFunc(hurry, l.giveUp)
		l.m.Stop(strings.TrimPrefix(err.Error(), "loadgen: "))
	}
}

// watch waits for the end of the measurement, and ends a load in which nothing moves (F4).
func (l *load) watch(ctx context.Context) {
	for {
		now := l.m.Now()
		if l.m.Over(now) || ctx.Err() != nil {
			return
		}
		if err := l.stalled(now); err != nil {
			l.stop(err)
			return
		}
		if l.readToEnd() {
			l.m.Finish()
			return
		}
		pause(ctx, min(50*time.Millisecond, time.Duration(max(1, l.m.End()-now))))
	}
}

// stalled says that nothing moves any more.
func (l *load) stalled(now int64) error {
	quiet, busy := time.Duration(now-l.lastAnswer.Load()), l.inFlight.Load() > 0
	if u := l.noAnswer.Load(); u != nil && quiet > reachLimit && (busy || len(l.groups) > 0) {
		return fmt.Errorf("loadgen: no answer for %v, and %s cannot be reached: %w",
			quiet.Round(time.Second), u.host, u.err)
	}
	if len(l.groups) > 0 && quiet > stallLimit {
		return fmt.Errorf("loadgen: no answer for %v", stallLimit)
	}
	if busy && now-l.lastAck.Load() > int64(stallLimit) {
		return fmt.Errorf("loadgen: nothing has been acknowledged for %v", stallLimit)
	}
	return nil
}

// readToEnd says that a load that only reads has come to where it shall end.
func (l *load) readToEnd() bool {
	if l.w.Produces() || l.w.Again || l.w.To == 0 && !l.w.ReadOnly {
		return false
	}
	for _, g := range l.groups {
		if !g.done() {
			return false
		}
	}
	return true
}

// drain waits for what is under way: acknowledgements, then readers.
func (l *load) drain(ctx context.Context) {
	within, cancel := context.WithTimeout(context.Background(), drainLimit)
	defer cancel()
	cut := ctx.Err() != nil || l.failure.get() != nil // it is over already
	if cut {
		cancel()
		within, cancel = context.WithTimeout(context.Background(), hurry)
		defer cancel()
	}
	for _, p := range l.writers {
		p.finish(within)
	}
	if l.w.Produces() && l.w.Consumes() {
		l.readRest(within, cut)
	}
}

// readRest waits until every group has read everything, as long as more comes.
func (l *load) readRest(ctx context.Context, cut bool) {
	ends, err := listOffsets(ctx, l.admin, l.w, -1)
	if err != nil {
		l.unread = true
		if !cut {
			l.stop(err)
		}
		return
	}
	patience := readLimit
	if cut {
		patience = hurry
	}
	for _, g := range l.groups {
		behind := g.catchUpTo(ends, patience)
		if behind == 0 {
			continue
		}
		l.unread = true
		if !cut {
			l.stop(fmt.Errorf("loadgen: group %s is %d messages behind the end, and reads no more",
				g.name, behind))
		}
	}
}

// close ends all clients; results are there by now. A broker that is gone holds nobody up.
func (l *load) close() {
	var all sync.WaitGroup
	for _, p := range l.writers {
		all.Go(p.close)
	}
	for _, g := range l.groups {
		for _, c := range g.consumers {
			all.Go(c.cl.CloseAllowingRebalance)
		}
	}
	for _, c := range l.readers {
		all.Go(c.close)
	}
	closed := make(chan struct{})
	go func() {
		all.Wait()
		close(closed)
	}()
	select {
	case <-closed:
	case <-time.After(closeLimit):
	}
}

// result gathers what the run has shown.
func (l *load) result() (*result.Run, error) {
	for _, p := range l.writers {
		p.rec.Close()
	}
	for _, g := range l.groups {
		g.closeRecorders()
	}
	for _, c := range l.readers {
		c.rec.Close()
	}
	r := l.m.Result()
	for _, g := range l.groups {
		r.Readers = append(r.Readers, g.result())
	}
	for _, c := range l.readers {
		r.Readers = append(r.Readers, c.result())
	}
	if len(r.Readers) == 1 && r.Readers[0].Behind == 0 {
		r.Readers = nil // the run's own figures are its
	}
	r.Verified = l.verdict()
	if r.Verified != nil && !r.Verified.Right() && r.Partial == "" {
		return r, ledger.ErrWrong
	}
	return r, nil
}

// verdict puts the groups' verdicts together: each of them must have had everything. What was not
// read because the run ended early is not missing.
func (l *load) verdict() *result.Verified {
	var all *result.Verified
	for _, g := range l.groups {
		if g.reading == nil {
			continue
		}
		v := g.reading.Verdict(l.w.ReadCommitted)
		if l.unread {
			v.Expected -= v.Missing
			v.Missing = 0
		}
		if all == nil {
			all = v
			continue
		}
		all.Expected += v.Expected
		all.Received += v.Received
		all.Missing += v.Missing
		all.Duplicates += v.Duplicates
		all.Disordered += v.Disordered
		all.Damaged += v.Damaged
		all.Unknown += v.Unknown
		all.Examples = append(all.Examples, v.Examples...)
	}
	return all
}
