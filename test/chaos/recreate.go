package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"millrace/test/checker"
)

// againTopic is deleted and made again, under this name, all the time.
const againTopic = "chaos-again"

const againPartitions = 3

// wholeEvery: every so many rounds a topic's life is judged whole before it ends: all
// that was acknowledged is there. In the others the load runs on into the deletion.
const wholeEvery = 5

func againPlaces(incarnation int) []checker.Place {
	var out []checker.Place
	for i := range int32(againPartitions) {
		out = append(out, checker.Place{Topic: againTopic, Incarnation: uint32(incarnation), Partition: i})
	}
	return out
}

// recreate deletes a topic under load, makes it again, and kills the broker somewhere in
// between: in the new topic no record of an old one may be.
func (t *trial) recreate(ctx context.Context) error {
	b, err := newBroker(t.bin, t.scratch, t.durability, smallest...)
	if err != nil {
		return err
	}
	t.later(b.end)
	if err := b.start(ctx, t.life(0)); err != nil {
		return err
	}
	admin, err := kgo.NewClient(clientOpts(b.addr)...)
	if err != nil {
		return err
	}
	t.later(admin.Close)
	if err := createTopics(ctx, admin, topicPlan{againTopic, againPartitions, nil}); err != nil {
		return err
	}
	for round := 1; round <= t.rounds; round++ {
		if err := t.recreateOnce(ctx, b, admin, round); err != nil {
			return fmt.Errorf("round %d: %w", round, err)
		}
		if !t.judged(fmt.Sprintf("round %d", round), t.h.Anomalies()) {
			return errors.New("chaos: ended at the first finding")
		}
		t.passed++
	}
	return b.stop()
}

// recreateOnce loads the topic's life number round, kills the broker while the topic is
// being deleted and made again, and reads what the new one holds.
func (t *trial) recreateOnce(ctx context.Context, b *broker, admin *kgo.Client, round int) error {
	limit, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	places := againPlaces(round)
	l, err := startLoad(t.h, b.addr, places, t.seed+uint64(round))
	if err != nil {
		return err
	}
	defer l.close()
	if err := waitFor(limit, 20*time.Second, "the new topic takes records", func() bool {
		_, acked, _ := t.h.Counts()
		return acked > t.ackedBefore+100
	}); err != nil {
		return errors.Join(err, l.errors())
	}
	if round%wholeEvery == 0 {
		if err := t.wholeLife(limit, b, l, places, round); err != nil {
			return err
		}
	} else if _, err := scan(limit, t.h, b.addr, fmt.Sprintf("life-%d", round), places,
		func(bounds) int64 { return 0 }); err != nil {
		return err
	}

	killed := make(chan error, 1)
	next, delay := t.life(round), time.Duration(t.rng.IntN(60))*time.Millisecond
	go func() {
		time.Sleep(delay)
		err := b.kill()
		if err == nil {
			err = b.start(limit, next)
		}
		if err != nil {
			cancel() // nobody is there to answer
		}
		killed <- err
	}()
	err = deleteTopic(limit, admin, againTopic)
	l.close() // what it still holds belongs to a topic that is no more
	if err == nil {
		time.Sleep(20 * time.Millisecond) // requests that left before the close
		err = remakeTopic(limit, admin)
	}
	if err := errors.Join(err, <-killed); err != nil {
		return err
	}
	t.detail("round %d: %s, killed %s into it", round, next, delay)
	for _, p := range places {
		t.h.Forget(p)
	}
	_, t.ackedBefore, _ = t.h.Counts()
	// Before anything is sent: the new topic is empty.
	_, err = scan(limit, t.h, b.addr, fmt.Sprintf("empty-%d", round), againPlaces(round+1),
		func(bounds) int64 { return 0 })
	return err
}

// wholeLife ends the load, judges all that the topic's life owes, and restarts.
func (t *trial) wholeLife(ctx context.Context, b *broker, l *load, places []checker.Place,
	round int) error {
	if err := l.finish(time.Minute); err != nil {
		return err
	}
	if err := readAll(ctx, t.h, b.addr, fmt.Sprintf("whole-%d", round), places); err != nil {
		return err
	}
	if !t.judged(fmt.Sprintf("round %d", round), t.h.Check()) {
		return errors.New("chaos: ended at the first finding")
	}
	// A clean stop puts the topic's files where the next one's will be.
	if err := b.stop(); err != nil {
		return err
	}
	return b.start(ctx, t.life(round))
}

// deleteTopic deletes until the topic is gone: an answer may be lost with the broker.
func deleteTopic(ctx context.Context, cl *kgo.Client, name string) error {
	for {
		req := kmsg.NewPtrDeleteTopicsRequest()
		req.TimeoutMillis = 10000
		req.TopicNames = []string{name} // versions up to 5
		t := kmsg.NewDeleteTopicsRequestTopic()
		t.Topic = &name
		req.Topics = append(req.Topics, t)
		resp, err := req.RequestWith(ctx, cl)
		switch {
		case ctx.Err() != nil:
			return fmt.Errorf("chaos: delete %s: %w", name, errors.Join(ctx.Err(), err))
		case err != nil:
			continue
		}
		err = kerr.ErrorForCode(resp.Topics[0].ErrorCode)
		switch {
		case err == nil, errors.Is(err, kerr.UnknownTopicOrPartition):
			return nil
		case !kerr.IsRetriable(err):
			return fmt.Errorf("chaos: delete %s: %w", name, err)
		}
	}
}

// remakeTopic creates until the topic is there. It was gone before, so one that exists
// is of this creation, its answer lost.
func remakeTopic(ctx context.Context, cl *kgo.Client) error {
	for {
		err := createTopics(ctx, cl, topicPlan{againTopic, againPartitions, nil})
		switch {
		case err == nil, errors.Is(err, kerr.TopicAlreadyExists):
			return nil
		case ctx.Err() != nil:
			return errors.Join(ctx.Err(), err)
		case isAnswer(err) && !kerr.IsRetriable(err):
			return err
		}
	}
}

// isAnswer: the broker said so, not the network.
func isAnswer(err error) bool {
	var e *kerr.Error
	return errors.As(err, &e)
}

// waitFor polls a condition.
func waitFor(ctx context.Context, within time.Duration, what string, ok func() bool) error {
	for end := time.Now().Add(within); !ok(); time.Sleep(5 * time.Millisecond) {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if time.Now().After(end) {
			return fmt.Errorf("chaos: waited %s in vain: %s", within, what)
		}
	}
	return nil
}
