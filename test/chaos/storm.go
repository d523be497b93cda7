package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

const (
	stormWorkers = 4
	stormNames   = 6 // of each worker, who alone touches them
)

// possible are the numbers of partitions that a topic may have, as far as its worker can
// know; 0 is no topic. More than one when an answer was lost.
type possible map[int32]bool

func exactly(n int32) possible { return possible{n: true} }

func (p possible) withoutAbsent() possible {
	out := possible{}
	for n := range p {
		if n > 0 {
			out[n] = true
		}
	}
	return out
}

// stormer is one client that makes and unmakes its topics.
type stormer struct {
	cl     *kgo.Client
	r      *rand.Rand
	topics map[string]possible
	acked  int
	lost   int // requests without an answer
	err    error
	busy   *atomic.Int64 // requests under way, of all
}

// storm kills the broker amid changes of topics: afterwards what was acknowledged
// stands, and the disk holds what the metadata says.
func (t *trial) storm(ctx context.Context) error {
	b, err := newBroker(t.bin, t.scratch, t.durability, smallest...)
	if err != nil {
		return err
	}
	t.later(b.end)
	if err := b.start(ctx, t.life(0)); err != nil {
		return err
	}
	var busy atomic.Int64
	all := make([]*stormer, stormWorkers)
	for i := range all {
		s := &stormer{r: rand.New(rand.NewPCG(t.seed, uint64(100+i))), topics: map[string]possible{},
			busy: &busy}
		for j := range stormNames {
			s.topics[fmt.Sprintf("storm-%d-%d", i, j)] = exactly(0)
		}
		if s.cl, err = kgo.NewClient(clientOpts(b.addr, kgo.RequestRetries(0))...); err != nil {
			return err
		}
		t.later(s.cl.Close)
		all[i] = s
	}
	defer func() {
		acked, lost := 0, 0
		for _, s := range all {
			acked, lost = acked+s.acked, lost+s.lost
		}
		t.figure["directories_seen"] = t.directories
		t.figure["changes_acked"], t.figure["changes_unanswered"] = acked, lost
	}()
	for round := 1; round <= t.rounds; round++ {
		if err := t.stormOnce(ctx, b, all, &busy, round); err != nil {
			return fmt.Errorf("round %d: %w", round, err)
		}
		if len(t.findings) > 0 {
			return errors.New("chaos: ended at the first finding")
		}
		t.passed++
	}
	return b.stop()
}

func (t *trial) stormOnce(ctx context.Context, b *broker, all []*stormer, busy *atomic.Int64,
	round int) error {
	storming, calm := context.WithCancel(ctx)
	var wait sync.WaitGroup
	for _, s := range all {
		wait.Add(1)
		go func() {
			defer wait.Done()
			s.run(storming)
		}()
	}
	time.Sleep(t.moment() / 2)
	err := waitFor(ctx, 10*time.Second, "changes are under way", func() bool { return busy.Load() > 0 })
	err = errors.Join(err, b.kill())
	calm()
	wait.Wait()
	if err != nil {
		return err
	}
	l := t.life(round)
	if err := b.start(ctx, l); err != nil {
		return err
	}
	limit, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	cl, err := kgo.NewClient(clientOpts(b.addr, kgo.RecordPartitioner(kgo.ManualPartitioner()))...)
	if err != nil {
		return err
	}
	defer cl.Close()
	there, err := t.compare(limit, cl, all)
	if err != nil {
		return err
	}
	t.detail("round %d: %s, %d topics", round, l, len(there))
	if err := t.compareDisk(limit, b.data, there); err != nil {
		return err
	}
	if err := useTopics(limit, cl, there, round); err != nil || round%flushEvery != 0 {
		return err
	}
	return t.flushed(ctx, b, there)
}

// flushEvery: every so many rounds the broker stops cleanly, so that topics have their
// directories on disk, and not only entries in journals.
const flushEvery = 4

func (t *trial) flushed(ctx context.Context, b *broker, there map[string]topicNow) error {
	if err := b.stop(); err != nil {
		return err
	}
	made, _ := os.ReadDir(filepath.Join(b.data, "log"))
	t.directories += len(made)
	if err := b.start(ctx, t.life(0)); err != nil {
		return err
	}
	return t.compareDisk(ctx, b.data, there)
}

// run makes changes until the storm is over or something is wrong.
func (s *stormer) run(ctx context.Context) {
	names := make([]string, 0, len(s.topics))
	for name := range s.topics {
		names = append(names, name)
	}
	for ctx.Err() == nil && s.err == nil {
		name := names[s.r.IntN(len(names))]
		s.busy.Add(1)
		switch was := s.topics[name]; {
		case was[0] && s.r.IntN(8) > 0:
			s.create(ctx, name)
		case s.r.IntN(2) == 0:
			s.remove(ctx, name)
		default:
			s.widen(ctx, name)
		}
		s.busy.Add(-1)
	}
}

// learn takes an answer in: success leaves exactly one state, none leaves both.
func (s *stormer) learn(name, what string, after int32, err error, refused map[*kerr.Error]possible) {
	was := s.topics[name]
	if err == nil {
		s.acked++
		s.topics[name] = exactly(after)
		return
	}
	if !isAnswer(err) {
		s.lost++
		was[after] = true
		return
	}
	for code, now := range refused {
		if errors.Is(err, code) {
			if len(now) == 0 {
				s.err = fmt.Errorf("chaos: %s %s answers %w; it has one of %v partitions", what, name, err, was)
				return
			}
			s.topics[name] = now
			return
		}
	}
	s.err = fmt.Errorf("chaos: %s %s: %w", what, name, err)
}

// absentIfPossible is what "unknown topic" tells.
func absentIfPossible(was possible) possible {
	if was[0] {
		return exactly(0)
	}
	return possible{}
}

func (s *stormer) create(ctx context.Context, name string) {
	n := 1 + s.r.Int32N(4)
	err := createTopics(ctx, s.cl, topicPlan{name, n, nil})
	was := s.topics[name]
	if err == nil && !was[0] {
		s.err = fmt.Errorf("chaos: created %s, which has one of %v partitions", name, was)
		return
	}
	s.learn(name, "create", n, err, map[*kerr.Error]possible{
		kerr.TopicAlreadyExists: was.withoutAbsent(),
	})
}

func (s *stormer) remove(ctx context.Context, name string) {
	req := kmsg.NewPtrDeleteTopicsRequest()
	req.TimeoutMillis = 10000
	req.TopicNames = []string{name}
	t := kmsg.NewDeleteTopicsRequestTopic()
	t.Topic = &name
	req.Topics = append(req.Topics, t)
	resp, err := req.RequestWith(ctx, s.cl)
	if err == nil {
		err = kerr.ErrorForCode(resp.Topics[0].ErrorCode)
	}
	s.learn(name, "delete", 0, err, map[*kerr.Error]possible{
		kerr.UnknownTopicOrPartition: absentIfPossible(s.topics[name]),
	})
}

func (s *stormer) widen(ctx context.Context, name string) {
	was := s.topics[name]
	var most int32
	for n := range was {
		most = max(most, n)
	}
	req := kmsg.NewPtrCreatePartitionsRequest()
	req.TimeoutMillis = 10000
	t := kmsg.NewCreatePartitionsRequestTopic()
	t.Topic, t.Count = name, most+1
	req.Topics = append(req.Topics, t)
	resp, err := req.RequestWith(ctx, s.cl)
	if err == nil {
		err = kerr.ErrorForCode(resp.Topics[0].ErrorCode)
	}
	if !isAnswer(err) && err != nil {
		s.lost++
		if len(was.withoutAbsent()) > 0 {
			was[most+1] = true
		}
		return
	}
	s.learn(name, "widen", most+1, err, map[*kerr.Error]possible{
		kerr.UnknownTopicOrPartition: absentIfPossible(was),
	})
}
