package main

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// franz is github.com/twmb/franz-go.
type franz struct{}

func (franz) module() string    { return "github.com/twmb/franz-go" }
func (franz) idempotence() bool { return true }
func (franz) nulls() bool       { return true }

func (franz) open(opts ...kgo.Opt) (*kgo.Client, error) {
	return kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(bootstrap),
		kgo.FetchMaxWait(200 * time.Millisecond)}, opts...)...)
}

func (f franz) produce(ctx context.Context, topic, codec string, idempotent bool, rs []rec) error {
	compression := map[string]kgo.CompressionCodec{
		"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(),
		"snappy": kgo.SnappyCompression(), "lz4": kgo.Lz4Compression(),
		"zstd": kgo.ZstdCompression(),
	}[codec]
	opts := []kgo.Opt{kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerBatchCompression(compression), kgo.ProducerLinger(10 * time.Millisecond)}
	if !idempotent {
		opts = append(opts, kgo.DisableIdempotentWrite())
	}
	cl, err := f.open(opts...)
	if err != nil {
		return err
	}
	defer cl.Close()
	var out []*kgo.Record
	for _, r := range rs {
		k := &kgo.Record{Topic: topic, Partition: int32(r.partition), Key: r.key, Value: r.value}
		if r.timestamp != 0 {
			k.Timestamp = time.UnixMilli(r.timestamp)
		}
		for _, h := range r.headers {
			k.Headers = append(k.Headers, kgo.RecordHeader{Key: h.name, Value: h.value})
		}
		out = append(out, k)
	}
	return cl.ProduceSync(ctx, out...).FirstErr()
}

func (f franz) read(ctx context.Context, topic string, p int, offset int64, n int) ([]rec, error) {
	cl, err := f.open(kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{
		topic: {int32(p): kgo.NewOffset().At(offset)}}))
	if err != nil {
		return nil, err
	}
	defer cl.Close()
	var out []rec
	for len(out) < n {
		fetches := cl.PollRecords(ctx, n-len(out))
		if err := fetches.Err(); err != nil {
			return out, fmt.Errorf("%d of %d records: %w", len(out), n, err)
		}
		fetches.EachRecord(func(k *kgo.Record) {
			r := rec{partition: int(k.Partition), key: k.Key, value: k.Value,
				timestamp: k.Timestamp.UnixMilli()}
			for _, h := range k.Headers {
				r.headers = append(r.headers, head{h.Key, h.Value})
			}
			out = append(out, r)
		})
	}
	return out, nil
}

type franzMember struct {
	cl    *kgo.Client
	mu    sync.Mutex
	owned map[int32]bool
	done  chan struct{}
}

func (f franz) join(group, topic string, seen func(string)) (member, error) {
	m := &franzMember{owned: map[int32]bool{}, done: make(chan struct{})}
	mark := func(has bool) func(context.Context, *kgo.Client, map[string][]int32) {
		return func(_ context.Context, _ *kgo.Client, parts map[string][]int32) {
			m.mu.Lock()
			defer m.mu.Unlock()
			for _, p := range parts[topic] {
				m.owned[p] = has
			}
		}
	}
	cl, err := f.open(kgo.ConsumerGroup(group), kgo.ConsumeTopics(topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.HeartbeatInterval(500*time.Millisecond),
		kgo.SessionTimeout(10*time.Second), kgo.OnPartitionsAssigned(mark(true)),
		kgo.OnPartitionsRevoked(mark(false)), kgo.OnPartitionsLost(mark(false)),
		kgo.AutoCommitInterval(time.Second))
	if err != nil {
		return nil, err
	}
	m.cl = cl
	go func() {
		defer close(m.done)
		for {
			fetches := cl.PollFetches(context.Background())
			if fetches.IsClientClosed() {
				return
			}
			fetches.EachRecord(func(r *kgo.Record) { seen(string(r.Value)) })
		}
	}()
	return m, nil
}

func (m *franzMember) partitions() []int {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []int
	for p, has := range m.owned {
		if has {
			out = append(out, int(p))
		}
	}
	slices.Sort(out)
	return out
}

func (m *franzMember) close() error {
	m.cl.Close()
	<-m.done
	return nil
}

func (f franz) resume(ctx context.Context, group, topic string, n int) ([]string, error) {
	cl, err := f.open(kgo.ConsumerGroup(group), kgo.ConsumeTopics(topic), kgo.DisableAutoCommit(),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		return nil, err
	}
	defer cl.Close()
	var out []string
	var last *kgo.Record
	for len(out) < n {
		fetches := cl.PollRecords(ctx, n-len(out))
		if err := fetches.Err(); err != nil {
			return out, err
		}
		fetches.EachRecord(func(r *kgo.Record) { out, last = append(out, string(r.Value)), r })
	}
	return out, cl.CommitRecords(ctx, last)
}

func (f franz) offsets(ctx context.Context, topic string, at time.Time) (a, b, c int64, err error) {
	cl, err := f.open()
	if err != nil {
		return 0, 0, 0, err
	}
	defer cl.Close()
	adm := kadm.NewClient(cl)
	for _, q := range []struct {
		out  *int64
		list func(context.Context, ...string) (kadm.ListedOffsets, error)
	}{
		{&a, adm.ListStartOffsets}, {&b, adm.ListEndOffsets},
		{&c, func(ctx context.Context, topics ...string) (kadm.ListedOffsets, error) {
			return adm.ListOffsetsAfterMilli(ctx, at.UnixMilli(), topics...)
		}},
	} {
		listed, err := q.list(ctx, topic)
		if err != nil {
			return 0, 0, 0, err
		}
		o, ok := listed.Lookup(topic, 0)
		if !ok || o.Err != nil {
			return 0, 0, 0, fmt.Errorf("offset: %v", o.Err)
		}
		*q.out = o.Offset
	}
	return a, b, c, nil
}
