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
)

// churn is what comes and goes at a broker: records that retention drops, members of a
// group, clients with a producer id each, topics.
type churn struct {
	addr    string
	written atomic.Int64
	cancel  context.CancelFunc
	wait    sync.WaitGroup
	once    sync.Once

	mu     sync.Mutex
	failed error
}

const (
	churnGroup  = "chaos-soak"
	churnRecord = 30_000
	memberStays = 4 * time.Second
	clientEvery = 250 * time.Millisecond
	topicEvery  = 500 * time.Millisecond
)

func startChurn(ctx context.Context, addr string) (*churn, error) {
	ctx, cancel := context.WithCancel(ctx)
	c := &churn{addr: addr, cancel: cancel}
	for _, run := range []func(context.Context) error{
		c.write, c.stay, c.comeAndGo, c.clients, c.topics,
	} {
		c.wait.Add(1)
		go func() {
			defer c.wait.Done()
			if err := run(ctx); err != nil && ctx.Err() == nil {
				c.mu.Lock()
				c.failed = errors.Join(c.failed, err)
				c.mu.Unlock()
			}
		}()
	}
	return c, nil
}

func (c *churn) err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.failed
}

func (c *churn) close() {
	c.once.Do(func() {
		c.cancel()
		c.wait.Wait()
	})
}

// every calls f again and again until ctx is over.
func every(ctx context.Context, pause time.Duration, f func() error) error {
	tick := time.NewTicker(pause)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if err := f(); err != nil {
			return err
		}
	}
}

// write fills the topic that retention keeps short.
func (c *churn) write(ctx context.Context) error {
	cl, err := kgo.NewClient(clientOpts(c.addr, kgo.DefaultProduceTopic(soakTopic.name), kgo.ProducerLinger(0),
		kgo.MaxBufferedRecords(500))...)
	if err != nil {
		return err
	}
	defer cl.Close()
	value := make([]byte, churnRecord)
	for i := range value {
		value[i] = byte(rand.Uint32())
	}
	return every(ctx, 10*time.Millisecond, func() error {
		for range 8 {
			cl.Produce(ctx, &kgo.Record{Value: value[:1000+rand.IntN(churnRecord-1000)]},
				func(_ *kgo.Record, err error) {
					if err == nil {
						c.written.Add(1)
					}
				})
		}
		return nil
	})
}

func (c *churn) member() (*kgo.Client, error) {
	return kgo.NewClient(clientOpts(c.addr, kgo.ConsumerGroup(churnGroup), kgo.ConsumeTopics(soakTopic.name),
		kgo.SessionTimeout(6*time.Second), kgo.HeartbeatInterval(500*time.Millisecond),
		kgo.AutoCommitInterval(200*time.Millisecond))...)
}

// stay is a member that reads all the time.
func (c *churn) stay(ctx context.Context) error {
	cl, err := c.member()
	if err != nil {
		return err
	}
	defer cl.Close()
	for ctx.Err() == nil {
		cl.PollFetches(ctx)
	}
	return nil
}

// comeAndGo is a member that joins and leaves.
func (c *churn) comeAndGo(ctx context.Context) error {
	for ctx.Err() == nil {
		cl, err := c.member()
		if err != nil {
			return err
		}
		here, cancel := context.WithTimeout(ctx, memberStays)
		for here.Err() == nil {
			cl.PollFetches(here)
		}
		cancel()
		cl.Close()
	}
	return nil
}

// clients connect, get a producer id, write a record and leave.
func (c *churn) clients(ctx context.Context) error {
	return every(ctx, clientEvery, func() error {
		cl, err := kgo.NewClient(clientOpts(c.addr, kgo.DefaultProduceTopic(soakTopic.name))...)
		if err != nil {
			return err
		}
		defer cl.Close()
		return cl.ProduceSync(ctx, &kgo.Record{Value: []byte("a short visit")}).FirstErr()
	})
}

// topics come, hold a few records, and go.
func (c *churn) topics(ctx context.Context) error {
	cl, err := kgo.NewClient(clientOpts(c.addr)...)
	if err != nil {
		return err
	}
	defer cl.Close()
	n := 0
	return every(ctx, topicEvery, func() error {
		n++
		name := fmt.Sprintf("chaos-brief-%d", n)
		// The answer of a creation may be lost with a life of the broker: then it exists.
		if err := createTopics(ctx, cl, topicPlan{name, 3, nil}); isAnswer(err) {
			return nil
		} else if err != nil {
			return err
		}
		for range 10 {
			if err := cl.ProduceSync(ctx, &kgo.Record{Topic: name, Value: []byte("brief")}).FirstErr(); err != nil {
				return err
			}
		}
		return deleteTopic(ctx, cl, name)
	})
}
