package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"millrace/test/checker"
)

// producerKind is what a producer asks of the broker and promises its user.
type producerKind struct {
	name    string
	promise checker.Promise
	opts    []kgo.Opt
}

// kinds: idempotent ones keep five requests in flight. The plain one keeps one, or its
// retries would reorder.
var kinds = []producerKind{
	{"idempotent", checker.ExactOnce, []kgo.Opt{
		kgo.RequiredAcks(kgo.AllISRAcks()), kgo.StopProducerOnDataLossDetected(),
		kgo.ProducerBatchCompression(kgo.NoCompression()),
	}},
	{"idempotent-lz4", checker.ExactOnce, []kgo.Opt{
		kgo.RequiredAcks(kgo.AllISRAcks()), kgo.StopProducerOnDataLossDetected(),
		kgo.ProducerBatchCompression(kgo.Lz4Compression()),
	}},
	{"plain", checker.AtLeast, []kgo.Opt{
		kgo.RequiredAcks(kgo.LeaderAck()), kgo.DisableIdempotentWrite(),
		kgo.MaxProduceRequestsInflightPerBroker(1),
		kgo.ProducerBatchCompression(kgo.NoCompression()),
	}},
}

// clientOpts make a client quick to come back after a kill.
func clientOpts(addr string, more ...kgo.Opt) []kgo.Opt {
	return append([]kgo.Opt{
		kgo.SeedBrokers(addr),
		kgo.RetryBackoffFn(func(n int) time.Duration {
			return time.Duration(min(20*max(n, 1), 120)) * time.Millisecond
		}),
		kgo.MetadataMinAge(20 * time.Millisecond),
		kgo.MetadataMaxAge(2 * time.Second),
		kgo.DialTimeout(time.Second),
		kgo.RequestRetries(10000),
		kgo.RetryTimeout(90 * time.Second),
	}, more...)
}

// load is a set of producers that write to places and note it in a history.
type load struct {
	h        *checker.History
	places   []checker.Place
	clients  []*kgo.Client
	pause    time.Duration // between bursts
	burst    int           // records
	stopping chan struct{}
	wait     sync.WaitGroup
	inFlight atomic.Int64 // sent, not answered

	mu   sync.Mutex
	errs []error
}

// startLoad starts producers, one goroutine each.
func startLoad(h *checker.History, addr string, places []checker.Place, seed uint64,
) (*load, error) {
	l := &load{h: h, places: places, pause: 10 * time.Millisecond, burst: 15,
		stopping: make(chan struct{})}
	for i, k := range kinds {
		opts := append(clientOpts(addr, kgo.RecordPartitioner(kgo.ManualPartitioner()),
			kgo.MaxBufferedRecords(1500), kgo.ProducerLinger(0),
			kgo.ProducerBatchMaxBytes(1000000)), k.opts...)
		cl, err := kgo.NewClient(opts...)
		if err != nil {
			l.close()
			return nil, err
		}
		l.clients = append(l.clients, cl)
		l.wait.Add(1)
		go l.produce(cl, uint32(i), k, rand.New(rand.NewPCG(seed, uint64(i))))
	}
	return l, nil
}

func (l *load) produce(cl *kgo.Client, id uint32, k producerKind, r *rand.Rand) {
	defer l.wait.Done()
	tick := time.NewTicker(l.pause)
	defer tick.Stop()
	for {
		select {
		case <-l.stopping:
			return
		case <-tick.C:
		}
		for range 1 + r.IntN(2*l.burst) {
			place := l.places[r.IntN(len(l.places))]
			o := l.h.Intend(place, id, k.promise)
			rec := &kgo.Record{Topic: place.Topic, Partition: place.Partition,
				Value: checker.Payload(o, recordSize(r))}
			l.inFlight.Add(1)
			cl.Produce(context.Background(), rec, func(rec *kgo.Record, err error) {
				l.inFlight.Add(-1)
				var early *kgo.ErrFirstReadEOF
				if errors.As(err, &early) {
					return // the broker died before its first answer: the library asks no more
				}
				if err != nil {
					l.fail(fmt.Errorf("%s producer: %s/%d record %d: %w", k.name, place.Topic,
						place.Partition, o.Seq, err))
					return
				}
				l.h.Ack(o, rec.Offset)
			})
		}
	}
}

// recordSize: mostly small, some of a few KiB, a few that fill many blocks.
func recordSize(r *rand.Rand) int {
	switch n := r.IntN(1000); {
	case n == 0:
		return 100_000 + r.IntN(400_000)
	case n < 300:
		return 1000 + r.IntN(4000)
	default:
		return 80 + r.IntN(500)
	}
}

func (l *load) fail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.errs) < 20 {
		l.errs = append(l.errs, err)
	}
}

// errors are produce errors: there should be none, since producers retry for ever, but where a
// connection ended before its first answer.
func (l *load) errors() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return errors.Join(l.errs...)
}

// finish stops sending and waits until every record is answered.
func (l *load) finish(within time.Duration) error {
	l.quit()
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	for i, cl := range l.clients {
		if err := cl.Flush(ctx); err != nil {
			return errors.Join(l.errors(), fmt.Errorf("chaos: %s producer: %d records not answered within %s: %w",
				kinds[i].name, cl.BufferedProduceRecords(), within, err))
		}
	}
	return l.errors()
}

func (l *load) quit() {
	select {
	case <-l.stopping:
	default:
		close(l.stopping)
	}
	// A producer may wait for room while the broker is down.
	stopped := make(chan struct{})
	go func() { l.wait.Wait(); close(stopped) }()
	select {
	case <-stopped:
	case <-time.After(60 * time.Second):
	}
}

// close drops what is left.
func (l *load) close() {
	select {
	case <-l.stopping:
	default:
		close(l.stopping)
	}
	for _, cl := range l.clients {
		cl.Close()
	}
	l.wait.Wait()
}
