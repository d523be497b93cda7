package main

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/IBM/sarama"
)

// saramaClient is github.com/IBM/sarama.
type saramaClient struct{}

func (saramaClient) module() string    { return "github.com/IBM/sarama" }
func (saramaClient) idempotence() bool { return true }
func (saramaClient) nulls() bool       { return true }

func (saramaClient) config() *sarama.Config {
	c := sarama.NewConfig()
	c.Version = sarama.V3_6_0_0
	c.Producer.Partitioner = sarama.NewManualPartitioner
	c.Producer.RequiredAcks = sarama.WaitForAll
	c.Producer.Return.Successes = true
	c.Producer.Return.Errors = true
	c.Producer.Flush.Frequency = 10 * time.Millisecond
	c.Consumer.Offsets.Initial = sarama.OffsetOldest
	c.Consumer.MaxWaitTime = 200 * time.Millisecond
	c.Consumer.Group.Heartbeat.Interval = 500 * time.Millisecond
	c.Consumer.Group.Session.Timeout = 10 * time.Second
	c.Consumer.Return.Errors = true
	return c
}

func (s saramaClient) produce(_ context.Context, topic, codec string, idempotent bool,
	rs []rec) error {
	c := s.config()
	c.Producer.Compression = map[string]sarama.CompressionCodec{
		"none": sarama.CompressionNone, "gzip": sarama.CompressionGZIP,
		"snappy": sarama.CompressionSnappy, "lz4": sarama.CompressionLZ4,
		"zstd": sarama.CompressionZSTD,
	}[codec]
	if idempotent {
		c.Producer.Idempotent = true
		c.Net.MaxOpenRequests = 1
	}
	p, err := sarama.NewSyncProducer([]string{bootstrap}, c)
	if err != nil {
		return err
	}
	defer p.Close()
	var out []*sarama.ProducerMessage
	for _, r := range rs {
		m := &sarama.ProducerMessage{Topic: topic, Partition: int32(r.partition)}
		if r.key != nil {
			m.Key = sarama.ByteEncoder(r.key)
		}
		if r.value != nil {
			m.Value = sarama.ByteEncoder(r.value)
		}
		if r.timestamp != 0 {
			m.Timestamp = time.UnixMilli(r.timestamp)
		}
		for _, h := range r.headers {
			m.Headers = append(m.Headers, sarama.RecordHeader{Key: []byte(h.name), Value: h.value})
		}
		out = append(out, m)
	}
	return p.SendMessages(out)
}

func (s saramaClient) read(ctx context.Context, topic string, p int, offset int64,
	n int) ([]rec, error) {
	c, err := sarama.NewConsumer([]string{bootstrap}, s.config())
	if err != nil {
		return nil, err
	}
	defer c.Close()
	pc, err := c.ConsumePartition(topic, int32(p), offset)
	if err != nil {
		return nil, err
	}
	defer pc.Close()
	var out []rec
	for len(out) < n {
		select {
		case m := <-pc.Messages():
			r := rec{partition: int(m.Partition), key: m.Key, value: m.Value,
				timestamp: m.Timestamp.UnixMilli()}
			for _, h := range m.Headers {
				r.headers = append(r.headers, head{string(h.Key), h.Value})
			}
			out = append(out, r)
		case err := <-pc.Errors():
			return out, err
		case <-ctx.Done():
			return out, fmt.Errorf("%d of %d records: %w", len(out), n, ctx.Err())
		}
	}
	return out, nil
}

// saramaMember implements both the group handler and our member.
type saramaMember struct {
	group  sarama.ConsumerGroup
	topic  string
	seen   func(string)
	cancel context.CancelFunc
	done   chan struct{}
	mu     sync.Mutex
	owned  []int
}

func (m *saramaMember) Setup(s sarama.ConsumerGroupSession) error {
	var owned []int
	for _, p := range s.Claims()[m.topic] {
		owned = append(owned, int(p))
	}
	slices.Sort(owned)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.owned = owned
	return nil
}

func (m *saramaMember) Cleanup(sarama.ConsumerGroupSession) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.owned = nil
	return nil
}

func (m *saramaMember) ConsumeClaim(s sarama.ConsumerGroupSession,
	claim sarama.ConsumerGroupClaim) error {
	for {
		select {
		case msg, ok := <-claim.Messages():
			if !ok {
				return nil
			}
			m.seen(string(msg.Value))
			s.MarkMessage(msg, "")
		case <-s.Context().Done():
			return nil
		}
	}
}

func (m *saramaMember) partitions() []int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.owned)
}

func (m *saramaMember) close() error {
	m.cancel()
	<-m.done
	return m.group.Close()
}

func (s saramaClient) join(group, topic string, seen func(string)) (member, error) {
	c := s.config()
	c.Consumer.Return.Errors = false
	c.Consumer.Group.Rebalance.GroupStrategies = []sarama.BalanceStrategy{
		sarama.NewBalanceStrategyRoundRobin()}
	g, err := sarama.NewConsumerGroup([]string{bootstrap}, group, c)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	m := &saramaMember{group: g, topic: topic, seen: seen, cancel: cancel,
		done: make(chan struct{})}
	go func() {
		defer close(m.done)
		for ctx.Err() == nil {
			if err := g.Consume(ctx, []string{topic}, m); err != nil {
				time.Sleep(100 * time.Millisecond)
			}
		}
	}()
	return m, nil
}

// saramaTaker reads a fixed number of records of one partition and commits behind them.
type saramaTaker struct {
	n    int
	out  []string
	done context.CancelFunc
}

func (t *saramaTaker) Setup(sarama.ConsumerGroupSession) error   { return nil }
func (t *saramaTaker) Cleanup(sarama.ConsumerGroupSession) error { return nil }

func (t *saramaTaker) ConsumeClaim(s sarama.ConsumerGroupSession,
	claim sarama.ConsumerGroupClaim) error {
	for {
		select {
		case msg, ok := <-claim.Messages():
			if !ok {
				return nil
			}
			t.out = append(t.out, string(msg.Value))
			s.MarkMessage(msg, "")
			if len(t.out) == t.n {
				s.Commit()
				t.done()
				return nil
			}
		case <-s.Context().Done():
			return nil
		}
	}
}

func (s saramaClient) resume(ctx context.Context, group, topic string, n int) ([]string, error) {
	c := s.config()
	c.Consumer.Offsets.AutoCommit.Enable = false
	g, err := sarama.NewConsumerGroup([]string{bootstrap}, group, c)
	if err != nil {
		return nil, err
	}
	defer g.Close()
	inner, cancel := context.WithCancel(ctx)
	defer cancel()
	t := &saramaTaker{n: n, done: cancel}
	for inner.Err() == nil {
		if err := g.Consume(inner, []string{topic}, t); err != nil && inner.Err() == nil {
			return t.out, err
		}
	}
	return t.out, ctx.Err()
}

func (s saramaClient) offsets(_ context.Context, topic string, at time.Time) (a, b, c int64,
	err error) {
	cl, err := sarama.NewClient([]string{bootstrap}, s.config())
	if err != nil {
		return 0, 0, 0, err
	}
	defer cl.Close()
	if a, err = cl.GetOffset(topic, 0, sarama.OffsetOldest); err != nil {
		return 0, 0, 0, err
	}
	if b, err = cl.GetOffset(topic, 0, sarama.OffsetNewest); err != nil {
		return 0, 0, 0, err
	}
	c, err = cl.GetOffset(topic, 0, at.UnixMilli())
	return a, b, c, err
}
