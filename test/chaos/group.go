package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"millrace/test/checker"
)

const (
	simpleGroup = "chaos-simple" // commits without being a member
	memberGroup = "chaos-member" // joins, reads, commits what it read
)

// groups commit offsets all the time.
type groups struct {
	h      *checker.History
	places []checker.Place
	simple *kgo.Client
	member *kgo.Client
	cancel context.CancelFunc
	wait   sync.WaitGroup

	refused atomic.Pointer[int16] // the code of the last commit that was
}

// byName keeps commits to the versions that know topics by name. Later ones have ids,
// which requests that we make ourselves would have to look up first.
func byName() kgo.Opt {
	v := kversion.Stable()
	v.SetMaxKeyVersion(kmsg.OffsetCommit.Int16(), 9)
	v.SetMaxKeyVersion(kmsg.OffsetFetch.Int16(), 9)
	return kgo.MaxVersions(v)
}

func startGroups(h *checker.History, addr string, places []checker.Place) (*groups, error) {
	g := &groups{h: h, places: places}
	var err error
	if g.simple, err = kgo.NewClient(clientOpts(addr, byName())...); err != nil {
		return nil, err
	}
	topics := slices.Collect(maps.Keys(byTopic(places)))
	g.member, err = kgo.NewClient(clientOpts(addr, byName(), kgo.ConsumerGroup(memberGroup),
		kgo.ConsumeTopics(topics...), kgo.DisableAutoCommit(),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.SessionTimeout(6*time.Second), kgo.HeartbeatInterval(500*time.Millisecond),
		kgo.FetchMaxWait(200*time.Millisecond))...)
	if err != nil {
		g.simple.Close()
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	g.cancel = cancel
	g.wait.Add(2)
	go g.runSimple(ctx)
	go g.runMember(ctx)
	return g, nil
}

// runSimple commits 1, 2, 3 … for every place, one request at a time.
func (g *groups) runSimple(ctx context.Context) {
	defer g.wait.Done()
	for offset := int64(1); ctx.Err() == nil; offset++ {
		req := kmsg.NewPtrOffsetCommitRequest()
		req.Group, req.Generation = simpleGroup, -1
		for topic, parts := range byTopic(g.places) {
			t := kmsg.NewOffsetCommitRequestTopic()
			t.Topic = topic
			for _, partition := range parts {
				part := kmsg.NewOffsetCommitRequestTopicPartition()
				part.Partition, part.Offset = partition, offset
				t.Partitions = append(t.Partitions, part)
			}
			req.Topics = append(req.Topics, t)
		}
		for _, p := range g.places {
			g.h.CommitIntend(simpleGroup, p, offset)
		}
		if resp, err := req.RequestWith(ctx, g.simple); err == nil {
			g.acked(simpleGroup, resp, func(string, int32) int64 { return offset })
		}
		select {
		case <-ctx.Done():
		case <-time.After(15 * time.Millisecond):
		}
	}
}

func (g *groups) acked(group string, resp *kmsg.OffsetCommitResponse,
	offset func(string, int32) int64) {
	for _, t := range resp.Topics {
		for _, part := range t.Partitions {
			if part.ErrorCode != 0 {
				code := part.ErrorCode
				g.refused.Store(&code)
			} else if p, known := find(g.places, t.Topic, part.Partition); known {
				g.h.CommitAck(group, p, offset(t.Topic, part.Partition))
			}
		}
	}
}

// runMember reads as a group's only member and commits after every poll.
func (g *groups) runMember(ctx context.Context) {
	defer g.wait.Done()
	for ctx.Err() == nil {
		fetches := g.member.PollRecords(ctx, 500)
		next := map[string]map[int32]kgo.EpochOffset{}
		fetches.EachRecord(func(r *kgo.Record) {
			p, known := find(g.places, r.Topic, r.Partition)
			if !known {
				return
			}
			g.h.Glimpse(p, r.Offset, r.Value)
			if next[r.Topic] == nil {
				next[r.Topic] = map[int32]kgo.EpochOffset{}
			}
			next[r.Topic][r.Partition] = kgo.EpochOffset{Epoch: r.LeaderEpoch, Offset: r.Offset + 1}
		})
		if len(next) == 0 {
			continue
		}
		for topic, parts := range next {
			for part, at := range parts {
				p, _ := find(g.places, topic, part)
				g.h.CommitIntend(memberGroup, p, at.Offset)
			}
		}
		g.member.CommitOffsetsSync(ctx, next, func(_ *kgo.Client, _ *kmsg.OffsetCommitRequest,
			resp *kmsg.OffsetCommitResponse, err error) {
			if err == nil {
				g.acked(memberGroup, resp, func(t string, p int32) int64 { return next[t][p].Offset })
			}
		})
	}
}

// check reads the committed offsets of both groups into the history.
func (g *groups) check(ctx context.Context, addr string) error {
	cl, err := kgo.NewClient(clientOpts(addr, byName())...)
	if err != nil {
		return err
	}
	defer cl.Close()
	return errors.Join(g.checkOne(ctx, cl, simpleGroup), g.checkOne(ctx, cl, memberGroup))
}

func (g *groups) checkOne(ctx context.Context, cl *kgo.Client, group string) error {
	floors := map[checker.Place]int64{}
	req := kmsg.NewPtrOffsetFetchRequest()
	req.Group = group // versions up to 7
	rg := kmsg.NewOffsetFetchRequestGroup()
	rg.Group = group
	for _, p := range g.places {
		floors[p] = g.h.CommitFloor(group, p)
	}
	for topic, parts := range byTopic(g.places) {
		t := kmsg.NewOffsetFetchRequestTopic()
		t.Topic, t.Partitions = topic, parts
		req.Topics = append(req.Topics, t)
		gt := kmsg.NewOffsetFetchRequestGroupTopic()
		gt.Topic, gt.Partitions = topic, parts
		rg.Topics = append(rg.Topics, gt)
	}
	req.Groups = append(req.Groups, rg)
	resp, err := req.RequestWith(ctx, cl)
	if err != nil {
		return fmt.Errorf("chaos: OffsetFetch of %s: %w", group, err)
	}
	for _, answer := range resp.Groups {
		if err := kerr.ErrorForCode(answer.ErrorCode); err != nil {
			return fmt.Errorf("chaos: OffsetFetch of %s: %w", group, err)
		}
		for _, t := range answer.Topics {
			for _, part := range t.Partitions {
				if err := kerr.ErrorForCode(part.ErrorCode); err != nil {
					return fmt.Errorf("chaos: OffsetFetch of %s: %s/%d: %w", group, t.Topic, part.Partition, err)
				}
				p, known := find(g.places, t.Topic, part.Partition)
				if !known {
					continue
				}
				g.h.CommitRead(group, p, floors[p], part.Offset)
				delete(floors, p)
			}
		}
	}
	if len(floors) > 0 {
		return fmt.Errorf("chaos: OffsetFetch of %s left out %v", group, floors)
	}
	return nil
}

// committed says whether each group had a commit acknowledged: else nothing was checked.
func (g *groups) committed() bool {
	for _, group := range []string{simpleGroup, memberGroup} {
		if !slices.ContainsFunc(g.places, func(p checker.Place) bool { return g.h.CommitFloor(group, p) > 0 }) {
			return false
		}
	}
	return true
}

func (g *groups) close() {
	g.cancel()
	g.simple.Close()
	g.wait.Wait()
	g.member.CloseAllowingRebalance()
}
