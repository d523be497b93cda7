package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sys/unix"

	"millrace/test/checker"
)

const (
	// What a round may take: until produce is refused, until it is taken again, until a
	// stop has ended by itself.
	refusedWithin = 20 * time.Second
	healedWithin  = 10 * time.Second
	stoppedWithin = 10 * time.Second
	// enospcPerRound is what a round writes at most: the journals' size, and the load.
	enospcPerRound = 160 << 20
	enospcBase     = 2 << 30
	// restartEvery: every so many rounds the broker is stopped and started on the full disk.
	restartEvery = 4
)

var fillTopic = topicPlan{"chaos-fill", 2, nil}

// ballast is a file that takes all the space that a filesystem has.
type ballast struct{ name string }

// fill takes what is left, down to the last block.
func (b *ballast) fill() error {
	fd, err := unix.Open(b.name, unix.O_CREAT|unix.O_RDWR|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	at := st.Size
	for step := int64(1) << 40; step >= 4096; {
		var fs unix.Statfs_t
		if err := unix.Fstatfs(fd, &fs); err != nil {
			return err
		}
		step = min(step, int64(fs.Bavail)*fs.Bsize)
		if step < 4096 {
			return nil
		}
		switch err := unix.Fallocate(fd, 0, at, step); {
		case err == nil:
			at += step
		case errors.Is(err, unix.ENOSPC):
			step /= 2
		case !errors.Is(err, unix.EINTR):
			return fmt.Errorf("chaos: ballast: %w", err)
		}
	}
	return nil
}

// drop gives the space back.
func (b *ballast) drop() error { return os.Remove(b.name) }

// filler writes large records as fast as it can, and gives up at the first refusal.
type filler struct {
	h  *checker.History
	cl *kgo.Client
	n  int
}

func newFiller(h *checker.History, addr string) (*filler, error) {
	cl, err := kgo.NewClient(clientOpts(addr, kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.RequiredAcks(kgo.LeaderAck()), kgo.DisableIdempotentWrite(),
		kgo.MaxProduceRequestsInflightPerBroker(1), kgo.ProducerLinger(0), kgo.RecordRetries(0),
		kgo.ProducerBatchCompression(kgo.NoCompression()), kgo.UnknownTopicRetries(10))...)
	return &filler{h: h, cl: cl}, err
}

// write sends some records and waits; it gives the first refusal.
func (f *filler) write(ctx context.Context, records, size int) error {
	var list []*kgo.Record
	var origins []checker.Origin
	for range records {
		f.n++
		place := checker.Place{Topic: fillTopic.name, Partition: int32(f.n) % fillTopic.partitions}
		o := f.h.Intend(place, 9, checker.Promise(0))
		origins = append(origins, o)
		list = append(list, &kgo.Record{Topic: place.Topic, Partition: place.Partition,
			Value: checker.Payload(o, size)})
	}
	var first error
	for _, r := range f.cl.ProduceSync(ctx, list...) {
		if r.Err == nil {
			f.h.Ack(origins[slices.Index(list, r.Record)], r.Record.Offset)
		} else if first == nil {
			first = r.Err
		}
	}
	return first
}

// refused writes until the broker has no room any more, and says so.
func (f *filler) refused(ctx context.Context) (time.Duration, error) {
	limit, cancel := context.WithTimeout(ctx, refusedWithin)
	defer cancel()
	began := time.Now()
	for {
		err := f.write(limit, 8, 500_000)
		switch {
		case errors.Is(err, kerr.KafkaStorageError):
			return time.Since(began), nil
		case limit.Err() != nil:
			return 0, fmt.Errorf("chaos: on a full disk produce was not refused within %s: %w", refusedWithin, err)
		case err != nil && !kerr.IsRetriable(err):
			return 0, fmt.Errorf("chaos: on a full disk produce was refused with: %w", err)
		}
	}
}

// healed writes until it succeeds again, in every partition.
func (f *filler) healed(ctx context.Context) (time.Duration, error) {
	limit, cancel := context.WithTimeout(ctx, healedWithin)
	defer cancel()
	began := time.Now()
	for {
		err := f.write(limit, int(fillTopic.partitions), 1000)
		if err == nil {
			return time.Since(began), nil
		}
		if limit.Err() != nil {
			return 0, fmt.Errorf("chaos: space is there again, and after %s produce still gets: %w", healedWithin, err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// enospc fills the disk under load and frees it, again and again.
func (t *trial) enospc(ctx context.Context) error {
	return t.onEachFS(ctx, t.enospcOn)
}

func (t *trial) enospcOn(ctx context.Context, fs string, rounds int) error {
	m, err := t.machine(ctx, diskKind{fs, false, enospcBase + int64(rounds)*enospcPerRound})
	if err != nil {
		return err
	}
	b, err := newBroker(t.bin, t.scratch, t.durability, smallest...)
	if err != nil {
		return err
	}
	b.data = m.mount + "/data"
	w, err := t.open(ctx, b, fillTopic)
	if err != nil {
		return err
	}
	defer w.figures()
	full, err := newFullDisk(ctx, w, &ballast{filepath.Join(m.mount, "ballast")})
	if err != nil {
		return err
	}
	t.later(full.close)
	defer full.figures()
	for round := 1; round <= rounds; round++ {
		limit, cancel := context.WithTimeout(ctx, 2*time.Minute)
		err := full.once(limit, round)
		cancel()
		if err != nil {
			return fmt.Errorf("%s, round %d: %w", fs, round, err)
		}
		if !t.judged(fmt.Sprintf("%s, round %d", fs, round), t.h.Anomalies()) {
			return errors.New("chaos: ended at the first finding")
		}
		t.passed++
	}
	return w.finish(ctx, rounds)
}
