package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/segmentio/kafka-go"
)

// segment is github.com/segmentio/kafka-go. It has no idempotent producer.
type segment struct{}

func (segment) module() string    { return "github.com/segmentio/kafka-go" }
func (segment) idempotence() bool { return false }
func (segment) nulls() bool       { return false }

func (segment) produce(ctx context.Context, topic, codec string, _ bool, rs []rec) error {
	compression := map[string]kafka.Compression{"gzip": kafka.Gzip, "snappy": kafka.Snappy,
		"lz4": kafka.Lz4, "zstd": kafka.Zstd}[codec]
	parts := map[int][]kafka.Message{}
	for _, r := range rs {
		m := kafka.Message{Key: r.key, Value: r.value, Time: time.Now()}
		if r.timestamp != 0 {
			m.Time = time.UnixMilli(r.timestamp)
		}
		for _, h := range r.headers {
			m.Headers = append(m.Headers, kafka.Header{Key: h.name, Value: h.value})
		}
		parts[r.partition] = append(parts[r.partition], m)
	}
	for p, messages := range parts {
		w := &kafka.Writer{Addr: kafka.TCP(bootstrap), Topic: topic, Compression: compression,
			RequiredAcks: kafka.RequireAll, BatchTimeout: 5 * time.Millisecond,
			BatchSize: len(messages), BatchBytes: 8 << 20,
			Balancer: kafka.BalancerFunc(func(kafka.Message, ...int) int { return p })}
		err := w.WriteMessages(ctx, messages...)
		if closeErr := w.Close(); err == nil {
			err = closeErr
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (segment) read(ctx context.Context, topic string, p int, offset int64, n int) ([]rec, error) {
	r := kafka.NewReader(kafka.ReaderConfig{Brokers: []string{bootstrap}, Topic: topic,
		Partition: p, MaxWait: 200 * time.Millisecond, MaxBytes: 10 << 20})
	defer r.Close()
	if err := r.SetOffset(offset); err != nil {
		return nil, err
	}
	var out []rec
	for len(out) < n {
		m, err := r.ReadMessage(ctx)
		if err != nil {
			return out, fmt.Errorf("%d of %d records: %w", len(out), n, err)
		}
		got := rec{partition: m.Partition, key: m.Key, value: m.Value,
			timestamp: m.Time.UnixMilli()}
		for _, h := range m.Headers {
			got.headers = append(got.headers, head{h.Key, h.Value})
		}
		out = append(out, got)
	}
	return out, nil
}

type segmentMember struct {
	group  *kafka.ConsumerGroup
	cancel context.CancelFunc
	done   chan struct{}
	mu     sync.Mutex
	owned  []int
}

func (s segment) join(group, topic string, seen func(string)) (member, error) {
	g, err := kafka.NewConsumerGroup(kafka.ConsumerGroupConfig{ID: group,
		Brokers: []string{bootstrap}, Topics: []string{topic}, StartOffset: kafka.FirstOffset,
		HeartbeatInterval: 500 * time.Millisecond, SessionTimeout: 10 * time.Second,
		RebalanceTimeout: 10 * time.Second, JoinGroupBackoff: 200 * time.Millisecond})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	m := &segmentMember{group: g, cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(m.done)
		for ctx.Err() == nil {
			gen, err := g.Next(ctx)
			if err != nil {
				if errors.Is(err, kafka.ErrGroupClosed) {
					return
				}
				continue
			}
			m.serve(gen, topic, seen)
		}
	}()
	return m, nil
}

// serve reads the partitions of one generation, each in a goroutine the generation ends.
func (m *segmentMember) serve(gen *kafka.Generation, topic string, seen func(string)) {
	var owned []int
	for _, a := range gen.Assignments[topic] {
		owned = append(owned, a.ID)
		gen.Start(func(ctx context.Context) {
			r := kafka.NewReader(kafka.ReaderConfig{Brokers: []string{bootstrap}, Topic: topic,
				Partition: a.ID, MaxWait: 100 * time.Millisecond})
			defer r.Close()
			if err := r.SetOffset(a.Offset); err != nil {
				return
			}
			for {
				msg, err := r.ReadMessage(ctx)
				if err != nil {
					return
				}
				seen(string(msg.Value))
				next := map[string]map[int]int64{topic: {a.ID: msg.Offset + 1}}
				if err := gen.CommitOffsets(next); err != nil {
					return
				}
			}
		})
	}
	slices.Sort(owned)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.owned = owned
}

func (m *segmentMember) partitions() []int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.owned)
}

func (m *segmentMember) close() error {
	m.cancel()
	err := m.group.Close()
	<-m.done
	return err
}

func (segment) resume(ctx context.Context, group, topic string, n int) ([]string, error) {
	r := kafka.NewReader(kafka.ReaderConfig{Brokers: []string{bootstrap}, GroupID: group,
		Topic: topic, StartOffset: kafka.FirstOffset, MaxWait: 200 * time.Millisecond})
	var out []string
	var last kafka.Message
	for len(out) < n {
		m, err := r.FetchMessage(ctx)
		if err != nil {
			_ = r.Close()
			return out, err
		}
		out, last = append(out, string(m.Value)), m
	}
	err := r.CommitMessages(ctx, last)
	if closeErr := r.Close(); err == nil {
		err = closeErr
	}
	return out, err
}

func (segment) offsets(ctx context.Context, topic string, at time.Time) (a, b, c int64, err error) {
	conn, err := kafka.DialLeader(ctx, "tcp", bootstrap, topic, 0)
	if err != nil {
		return 0, 0, 0, err
	}
	defer conn.Close()
	if a, b, err = conn.ReadOffsets(); err != nil {
		return 0, 0, 0, err
	}
	c, err = conn.ReadOffset(at)
	return a, b, c, err
}
