package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// errStuck: the broker gives neither data nor an error.
var errStuck = errors.New("no data and no error")

// records fetches every log from its start to its end. Behind an error it goes on with
// the next batch that is known to be there.
func (r *reader) records() error {
	for _, p := range r.pic.places() {
		l := r.pic.logs[p]
		if l.refused {
			continue
		}
		var known []int64
		if r.known != nil && r.known.logs[p] != nil {
			known = slices.Sorted(maps.Keys(r.known.logs[p].batches))
		}
		for at := l.start; at < l.end; {
			b, failed, err := r.fetch(p, at)
			if err != nil {
				return err
			}
			if failed {
				l.failed = append(l.failed, at)
				next := slices.IndexFunc(known, func(o int64) bool { return o > at })
				if next < 0 {
					break
				}
				at = known[next]
				continue
			}
			next, err := l.take(b, at)
			if err != nil {
				return fmt.Errorf("fetch %s from %d: %w", p, at, err)
			}
			at = next
		}
	}
	return nil
}

// take keeps the whole batches of an answer, and returns the offset behind them.
func (l *logPicture) take(b []byte, at int64) (int64, error) {
	next := at
	for len(b) >= 61 {
		n := int64(int32(binary.BigEndian.Uint32(b[8:]))) + 12
		if n < 61 || n > int64(len(b)) {
			break
		}
		base := int64(binary.BigEndian.Uint64(b))
		l.batches[base] = bytes.Clone(b[:n])
		end := base + int64(int32(binary.BigEndian.Uint32(b[23:]))) + 1
		if end <= next {
			return 0, fmt.Errorf("a batch of %d…%d", base, end)
		}
		next = end
		b = b[n:]
	}
	if next == at {
		return 0, errStuck
	}
	return next, nil
}

// fetch asks for one partition. failed: it was answered with an error.
func (r *reader) fetch(p place, at int64) (b []byte, failed bool, err error) {
	req := kmsg.NewPtrFetchRequest()
	req.ReplicaID, req.MaxWaitMillis, req.MinBytes, req.MaxBytes = -1, 2000, 1, 8<<20
	req.SessionEpoch = -1
	t := kmsg.NewFetchRequestTopic()
	t.Topic, t.TopicID = p.topic, r.ids[p.topic]
	part := kmsg.NewFetchRequestTopicPartition()
	part.Partition, part.FetchOffset, part.PartitionMaxBytes = p.partition, at, 1<<20
	part.CurrentLeaderEpoch = -1
	t.Partitions = append(t.Partitions, part)
	req.Topics = append(req.Topics, t)
	for range 3 { // an answer without bytes may be one that ran out of time
		resp, err := ask[*kmsg.FetchResponse](r.c, req, 13)
		if err != nil {
			return nil, false, err
		}
		if r.failed(resp.ErrorCode, "Fetch %s from %d", p, at) {
			return nil, true, nil
		}
		if len(resp.Topics) != 1 || len(resp.Topics[0].Partitions) != 1 {
			continue
		}
		x := resp.Topics[0].Partitions[0]
		if r.failed(x.ErrorCode, "Fetch %s from %d", p, at) {
			return nil, true, nil
		}
		if len(x.RecordBatches) > 0 {
			return x.RecordBatches, false, nil
		}
	}
	return nil, false, fmt.Errorf("fetch %s from %d: %w", p, at, errStuck)
}
