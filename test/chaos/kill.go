package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"millrace/test/checker"
)

// smallest are settings that make journals wrap and segments roll often.
var smallest = []string{
	"journal.max.bytes=67108864", "group.initial.rebalance.delay.ms=0", "log.cleaner.backoff.ms=100",
}

// topicPlan is a topic to be made.
type topicPlan struct {
	name       string
	partitions int32
	configs    map[string]string
}

var loadTopics = []topicPlan{
	{"chaos-wide", 5, nil},
	{"chaos-rolling", 2, map[string]string{"segment.bytes": "1048576"}},
}

func createTopics(ctx context.Context, cl *kgo.Client, plans ...topicPlan) error {
	req := kmsg.NewPtrCreateTopicsRequest()
	req.TimeoutMillis = 10000
	for _, p := range plans {
		t := kmsg.NewCreateTopicsRequestTopic()
		t.Topic, t.NumPartitions, t.ReplicationFactor = p.name, p.partitions, 1
		for name, value := range p.configs {
			c := kmsg.NewCreateTopicsRequestTopicConfig()
			c.Name, c.Value = name, &value
			t.Configs = append(t.Configs, c)
		}
		req.Topics = append(req.Topics, t)
	}
	resp, err := req.RequestWith(ctx, cl)
	if err != nil {
		return err
	}
	for _, t := range resp.Topics {
		if err := kerr.ErrorForCode(t.ErrorCode); err != nil {
			return fmt.Errorf("chaos: create %s: %w", t.Topic, err)
		}
	}
	return nil
}

func placesOf(plans ...topicPlan) []checker.Place {
	var out []checker.Place
	for _, p := range plans {
		for i := range p.partitions {
			out = append(out, checker.Place{Topic: p.name, Partition: i})
		}
	}
	return out
}

// world is a broker under full load: producers, a follower, groups.
type world struct {
	t        *trial
	b        *broker
	places   []checker.Place
	others   []checker.Place // written by others than the load
	load     *load
	follower *follower
	groups   *groups
	compact  *compacted
	bitten   int // faults that hit records on their way
}

// open starts the broker for the first time, makes topics and starts the load.
func (t *trial) open(ctx context.Context, b *broker, more ...topicPlan) (*world, error) {
	t.later(b.end)
	if err := b.start(ctx, t.life(0)); err != nil {
		return nil, err
	}
	admin, err := kgo.NewClient(clientOpts(b.addr)...)
	if err != nil {
		return nil, err
	}
	defer admin.Close()
	if err := createTopics(ctx, admin, append(more, append(loadTopics, compactTopic)...)...); err != nil {
		return nil, err
	}
	w := &world{t: t, b: b, places: placesOf(loadTopics...), others: placesOf(more...)}
	if w.load, err = startLoad(t.h, b.addr, w.places, t.seed); err != nil {
		return nil, err
	}
	t.later(w.load.close)
	if w.follower, err = follow(t.h, b.addr, "follower", w.places); err != nil {
		return nil, err
	}
	t.later(w.follower.close)
	if w.groups, err = startGroups(t.h, b.addr, w.places); err != nil {
		return nil, err
	}
	t.later(w.groups.close)
	if w.compact, err = startCompacted(b.addr, t.seed); err != nil {
		return nil, err
	}
	t.later(w.compact.close)
	return w, nil
}

// back judges a broker that came back: committed offsets, a part of the logs.
func (w *world) back(ctx context.Context, round int) error {
	limit, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	if err := w.groups.check(limit, w.b.addr); err != nil {
		return err
	}
	if round%5 != 0 {
		return nil
	}
	if err := w.compact.check(limit, w.b.addr); err != nil {
		return err
	}
	some := []checker.Place{w.places[w.t.rng.IntN(len(w.places))]}
	_, err := scan(limit, w.t.h, w.b.addr, fmt.Sprintf("scan-%d", round), some,
		func(b bounds) int64 { return max(b.start, b.end-1-w.t.rng.Int64N(2000)) })
	return err
}

// finish ends the load, reads all, stops cleanly, reads all again and judges.
func (w *world) finish(ctx context.Context, round int) error {
	t := w.t
	if err := w.load.finish(90 * time.Second); err != nil {
		return err
	}
	if err := w.compact.finish(ctx); err != nil {
		return err
	}
	all := append(slices.Clone(w.others), w.places...)
	if err := readAll(ctx, t.h, w.b.addr, "last", all); err != nil {
		return err
	}
	err := waitFor(ctx, 20*time.Second, "each group has committed", w.groups.committed)
	if err := errors.Join(err, w.judgeLogs(ctx)); err != nil {
		return err
	}
	if err := w.b.stop(); err != nil {
		return err
	}
	if err := w.b.start(ctx, t.life(round+1)); err != nil {
		return err
	}
	if err := readAll(ctx, t.h, w.b.addr, "after a clean stop", all); err != nil {
		return err
	}
	if err := w.judgeLogs(ctx); err != nil {
		return err
	}
	t.judged("at the end", t.h.Check())
	return w.b.stop()
}

// errors are those of all producers.
func (w *world) errors() error { return errors.Join(w.load.errors(), w.compact.errors()) }

// judgeLogs reads what groups committed, and the compacted topic.
func (w *world) judgeLogs(ctx context.Context) error {
	err := errors.Join(w.groups.check(ctx, w.b.addr), w.compact.check(ctx, w.b.addr))
	w.t.judged("compacted", w.compact.c.Anomalies())
	return err
}

// figures notes what the run amounted to.
func (w *world) figures() {
	starts := slices.Clone(w.b.starts)
	slices.Sort(starts)
	if len(starts) > 0 {
		w.t.note("start_ms_median", starts[len(starts)/2].Milliseconds())
		w.t.note("start_ms_max", starts[len(starts)-1].Milliseconds())
	}
	w.t.note("bitten", w.bitten)
	if w.compact != nil {
		_, acked, left := w.compact.c.Counts()
		w.t.note("compacted_acked", acked)
		w.t.note("compacted_left", left)
	}
}

// kill is kill -9 under load, over one data directory.
func (t *trial) kill(ctx context.Context) error {
	b, err := newBroker(t.bin, t.scratch, t.durability, smallest...)
	if err != nil {
		return err
	}
	w, err := t.open(ctx, b)
	if err != nil {
		return err
	}
	defer w.figures()
	for round := 1; round <= t.rounds; round++ {
		if err := w.killOnce(ctx, round); err != nil {
			return fmt.Errorf("round %d: %w", round, err)
		}
		if !t.judged(fmt.Sprintf("round %d", round), t.h.Anomalies()) {
			return errors.New("chaos: ended at the first finding")
		}
		t.passed++
	}
	return w.finish(ctx, t.rounds)
}

// strike waits for the moment of the fault: at random, and when records are on their way.
func (w *world) strike(ctx context.Context) (waiting int64, err error) {
	select {
	case <-ctx.Done():
		return 0, ctx.Err()
	case <-time.After(w.t.moment()):
	}
	for range 50_000 {
		if waiting = w.load.inFlight.Load(); waiting > 0 {
			w.bitten++
			return waiting, nil
		}
		time.Sleep(20 * time.Microsecond)
	}
	return 0, errors.New("chaos: no record on its way for seconds: the load stands still")
}

func (w *world) killOnce(ctx context.Context, round int) error {
	waiting, err := w.strike(ctx)
	if err != nil {
		return err
	}
	if err := w.b.kill(); err != nil {
		return err
	}
	l := w.t.life(round)
	if err := w.b.start(ctx, l); err != nil {
		return err
	}
	w.t.detail("round %d: %s, %d records on their way, ready in %s", round, l, waiting,
		w.b.starts[len(w.b.starts)-1].Round(time.Millisecond))
	if err := w.errors(); err != nil {
		return err
	}
	return w.back(ctx, round)
}
