package main

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// codecs in Kafka's names, with franz-go's writers.
var codecs = []string{"none", "gzip", "snappy", "lz4", "zstd"}

func codecOf(name string) kgo.CompressionCodec {
	switch name {
	case "gzip":
		return kgo.GzipCompression()
	case "snappy":
		return kgo.SnappyCompression()
	case "lz4":
		return kgo.Lz4Compression()
	case "zstd":
		return kgo.ZstdCompression()
	}
	return kgo.NoCompression()
}

// createTopics makes topics that are not there yet, by name and number of partitions.
func createTopics(ctx context.Context, addr string, topics map[string]int32) error {
	cl, err := kgo.NewClient(kgo.SeedBrokers(addr))
	if err != nil {
		return err
	}
	defer cl.Close()
	req := kmsg.NewPtrCreateTopicsRequest()
	req.TimeoutMillis = 30_000
	for name, n := range topics {
		t := kmsg.NewCreateTopicsRequestTopic()
		t.Topic, t.NumPartitions, t.ReplicationFactor = name, n, 1
		req.Topics = append(req.Topics, t)
	}
	resp, err := req.RequestWith(ctx, cl)
	if err != nil {
		return fmt.Errorf("compat: create topics: %w", err)
	}
	for _, t := range resp.Topics {
		if err := kerr.ErrorForCode(t.ErrorCode); err != nil && err != kerr.TopicAlreadyExists {
			return fmt.Errorf("compat: create topic %s: %w", t.Topic, err)
		}
	}
	return nil
}

// writeForeign writes the fixture with one codec, for the suites to read.
func writeForeign(ctx context.Context, addr, topic, codec string, records []record) error {
	cl, err := kgo.NewClient(kgo.SeedBrokers(addr), kgo.ProducerBatchCompression(codecOf(codec)),
		kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(10*time.Millisecond))
	if err != nil {
		return err
	}
	defer cl.Close()
	var out []*kgo.Record
	for _, r := range records {
		k := &kgo.Record{Topic: topic, Partition: r.partition, Key: r.key, Value: r.value,
			Timestamp: time.UnixMilli(r.timestamp)}
		for _, h := range r.headers {
			k.Headers = append(k.Headers, kgo.RecordHeader{Key: h.name, Value: h.value})
		}
		out = append(out, k)
	}
	return cl.ProduceSync(ctx, out...).FirstErr()
}

// verify reads a topic with franz-go and compares it with what should be in it. Timestamps are
// compared only when times is set (kcat cannot set them).
func verify(ctx context.Context, addr, topic string, want []record, times bool) error {
	assign := map[int32]kgo.Offset{}
	for p := range int32(partitions) {
		assign[p] = kgo.NewOffset().AtStart()
	}
	cl, err := kgo.NewClient(kgo.SeedBrokers(addr), kgo.FetchMaxWait(200*time.Millisecond),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: assign}))
	if err != nil {
		return err
	}
	defer cl.Close()
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	byPartition := map[int32][]record{}
	for _, r := range want {
		byPartition[r.partition] = append(byPartition[r.partition], r)
	}
	seen := map[int32]int{}
	for n := 0; n < len(want); {
		fetches := cl.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return fmt.Errorf("%d of %d records read: %w", n, len(want), err)
		}
		for it := fetches.RecordIter(); !it.Done(); n++ {
			r := it.Next()
			i := seen[r.Partition]
			seen[r.Partition]++
			if i >= len(byPartition[r.Partition]) {
				return fmt.Errorf("partition %d has more than %d records", r.Partition, i)
			}
			if err := differs(byPartition[r.Partition][i], r, times); err != nil {
				return fmt.Errorf("partition %d offset %d: %w", r.Partition, r.Offset, err)
			}
		}
	}
	return nil
}

func differs(want record, got *kgo.Record, times bool) error {
	same := func(a, b []byte) bool { return (a == nil) == (b == nil) && bytes.Equal(a, b) }
	switch {
	case !same(want.key, got.Key):
		return fmt.Errorf("key %.80q, want %.80q", got.Key, want.key)
	case !same(want.value, got.Value):
		return fmt.Errorf("value of %d bytes %.60q, want %d bytes %.60q",
			len(got.Value), got.Value, len(want.value), want.value)
	case len(want.headers) != len(got.Headers):
		return fmt.Errorf("%d headers, want %d", len(got.Headers), len(want.headers))
	case times && got.Timestamp.UnixMilli() != want.timestamp:
		return fmt.Errorf("timestamp %d, want %d", got.Timestamp.UnixMilli(), want.timestamp)
	}
	for i, h := range want.headers {
		if h.name != got.Headers[i].Key || !same(h.value, got.Headers[i].Value) {
			return fmt.Errorf("header %d is %q=%q, want %q=%q", i, got.Headers[i].Key,
				got.Headers[i].Value, h.name, h.value)
		}
	}
	return nil
}
