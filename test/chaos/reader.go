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

// bounds is a log's extent as ListOffsets tells it.
type bounds struct{ start, end int64 }

const (
	earliest = -2
	latest   = -1
)

func listBounds(ctx context.Context, cl *kgo.Client, places []checker.Place,
) (map[checker.Place]bounds, error) {
	out := map[checker.Place]bounds{}
	for _, at := range []int64{earliest, latest} {
		req := kmsg.NewPtrListOffsetsRequest()
		req.ReplicaID = -1
		for topic, parts := range byTopic(places) {
			t := kmsg.NewListOffsetsRequestTopic()
			t.Topic = topic
			for _, partition := range parts {
				part := kmsg.NewListOffsetsRequestTopicPartition()
				part.Partition, part.Timestamp = partition, at
				t.Partitions = append(t.Partitions, part)
			}
			req.Topics = append(req.Topics, t)
		}
		resp, err := req.RequestWith(ctx, cl)
		if err != nil {
			return nil, err
		}
		for _, t := range resp.Topics {
			for _, p := range t.Partitions {
				if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
					return nil, fmt.Errorf("chaos: ListOffsets %s/%d: %w", t.Topic, p.Partition, err)
				}
				place, known := find(places, t.Topic, p.Partition)
				if !known {
					continue
				}
				b := out[place]
				if at == earliest {
					b.start = p.Offset
				} else {
					b.end = p.Offset
				}
				out[place] = b
			}
		}
	}
	if len(out) != len(places) {
		return nil, fmt.Errorf("chaos: ListOffsets answered %d of %d partitions", len(out), len(places))
	}
	return out, nil
}

// byTopic gives the partitions of each topic in places.
func byTopic(places []checker.Place) map[string][]int32 {
	out := map[string][]int32{}
	for _, p := range places {
		out[p.Topic] = append(out[p.Topic], p.Partition)
	}
	return out
}

func find(places []checker.Place, topic string, partition int32) (checker.Place, bool) {
	for _, p := range places {
		if p.Topic == topic && p.Partition == partition {
			return p, true
		}
	}
	return checker.Place{}, false
}

// follower reads places from their starts and on, over all restarts.
type follower struct {
	cl   *kgo.Client
	done chan struct{}
}

func follow(h *checker.History, addr, name string, places []checker.Place) (*follower, error) {
	from := map[string]map[int32]kgo.Offset{}
	for _, p := range places {
		if from[p.Topic] == nil {
			from[p.Topic] = map[int32]kgo.Offset{}
		}
		from[p.Topic][p.Partition] = kgo.NewOffset().At(0)
	}
	cl, err := kgo.NewClient(clientOpts(addr, kgo.ConsumePartitions(from),
		kgo.FetchMaxWait(200*time.Millisecond))...)
	if err != nil {
		return nil, err
	}
	f := &follower{cl: cl, done: make(chan struct{})}
	go func() {
		defer close(f.done)
		for {
			fetches := cl.PollFetches(context.Background())
			if fetches.IsClientClosed() {
				return
			}
			fetches.EachRecord(func(r *kgo.Record) {
				if p, known := find(places, r.Topic, r.Partition); known {
					h.Read(name, p, r.Offset, r.Value)
				}
			})
		}
	}()
	return f, nil
}

func (f *follower) close() {
	f.cl.Close()
	<-f.done
}

// errStuck: a scan that no longer advances.
var errStuck = errors.New("chaos: the log could not be read to its end")

const scanPatience = 20 * time.Second

// scan reads every place from an offset to its end as of now, as a reader named name.
// from answers where to begin, given the bounds.
func scan(ctx context.Context, h *checker.History, addr, name string, places []checker.Place,
	from func(bounds) int64) (map[checker.Place]bounds, error) {
	admin, err := kgo.NewClient(clientOpts(addr)...)
	if err != nil {
		return nil, err
	}
	defer admin.Close()
	extents, err := listBounds(ctx, admin, places)
	if err != nil {
		return nil, err
	}
	starts := map[string]map[int32]kgo.Offset{}
	next := map[checker.Place]int64{}
	for p, b := range extents {
		at := from(b)
		if at >= b.end {
			continue
		}
		if starts[p.Topic] == nil {
			starts[p.Topic] = map[int32]kgo.Offset{}
		}
		starts[p.Topic][p.Partition] = kgo.NewOffset().At(at)
		next[p] = at
	}
	if len(next) == 0 {
		return extents, nil
	}
	cl, err := kgo.NewClient(clientOpts(addr, kgo.ConsumePartitions(starts),
		kgo.FetchMaxWait(100*time.Millisecond))...)
	if err != nil {
		return nil, err
	}
	defer cl.Close()
	return extents, drain(ctx, h, cl, name, extents, next)
}

func drain(ctx context.Context, h *checker.History, cl *kgo.Client, name string,
	extents map[checker.Place]bounds, next map[checker.Place]int64) error {
	places := make([]checker.Place, 0, len(next))
	for p := range next {
		places = append(places, p)
	}
	for len(next) > 0 {
		wait, cancel := context.WithTimeout(ctx, scanPatience)
		fetches := cl.PollFetches(wait)
		cancel()
		got := 0
		fetches.EachRecord(func(r *kgo.Record) {
			p, known := find(places, r.Topic, r.Partition)
			if !known {
				return
			}
			got++
			h.Read(name, p, r.Offset, r.Value)
			if r.Offset+1 >= extents[p].end {
				delete(next, p)
				return
			}
			if _, reading := next[p]; reading {
				next[p] = r.Offset + 1
			}
		})
		if got == 0 && len(next) > 0 {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return fmt.Errorf("%w: %v (next offsets), of %v; %v", errStuck, next, extents, fetches.Errors())
		}
	}
	return nil
}

// readAll reads every place whole and closes it in the history.
func readAll(ctx context.Context, h *checker.History, addr, name string,
	places []checker.Place) error {
	extents, err := scan(ctx, h, addr, name, places, func(b bounds) int64 { return b.start })
	if err != nil {
		return err
	}
	for p, b := range extents {
		h.Close(p, b.start, b.end)
	}
	return nil
}
