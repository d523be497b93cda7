package franz

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"time"

	"millrace/loadgen/result"
	"millrace/loadgen/workload"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"
)

const (
	topicsAtOnce = 500 // in one request
	// partitionsAtOnce stays below what Kafka takes in one request: 10 000 records, topics' among them.
	partitionsAtOnce = 9000
	leaderWait       = 60 * time.Second
)

// Prepare reaches the cluster, makes the topics if it shall, waits until every partition has a
// leader that serves, and says what the target is.
func Prepare(ctx context.Context, w *workload.Workload) (result.Target, error) {
	t := result.Target{Addr: w.Brokers[0], Topics: w.TopicNames(), Partitions: w.Topics * w.Partitions}
	if len(t.Topics) > 20 {
		t.Topics = append(t.Topics[:19:19], fmt.Sprintf("… %d in all", w.Topics))
	}
	cl, err := newClient(w)
	if err != nil {
		return t, err
	}
	defer cl.Close()
	if err := reach(ctx, cl, w); err != nil {
		return t, err
	}
	if w.Create {
		if err := create(ctx, cl, w); err != nil {
			return t, err
		}
	}
	if err := describe(ctx, cl, &t); err != nil {
		return t, err
	}
	return t, waitForLeaders(ctx, cl, w)
}

var exact = regexp.MustCompile(`^v[0-9.]+$`)

// describe fills in who the target is.
func describe(ctx context.Context, cl *kgo.Client, t *result.Target) error {
	req := kmsg.NewPtrMetadataRequest()
	req.Topics = []kmsg.MetadataRequestTopic{}
	resp, err := req.RequestWith(ctx, cl)
	if err != nil {
		return fmt.Errorf("loadgen: metadata: %w", err)
	}
	t.Brokers = len(resp.Brokers)
	if resp.ClusterID != nil {
		t.ClusterID = *resp.ClusterID
	}
	versions, err := apiVersions(ctx, cl)
	if err != nil {
		return err
	}
	// The guess is an exact version, or words for what lies between some.
	if g := kversion.FromApiVersionsResponse(versions).VersionGuess(); exact.MatchString(g) {
		t.Software = "APIs of Kafka " + g
	}
	return nil
}

func apiVersions(ctx context.Context, cl *kgo.Client) (*kmsg.ApiVersionsResponse, error) {
	req := kmsg.NewPtrApiVersionsRequest()
	req.ClientSoftwareName, req.ClientSoftwareVersion = "loadgen", "1"
	resp, err := req.RequestWith(ctx, cl)
	if err != nil {
		return nil, fmt.Errorf("loadgen: api versions: %w", err)
	}
	return resp, nil
}

func create(ctx context.Context, cl *kgo.Client, w *workload.Workload) error {
	names := w.TopicNames()
	for len(names) > 0 {
		n := min(topicsAtOnce, len(names), max(1, partitionsAtOnce/w.Partitions))
		req := kmsg.NewPtrCreateTopicsRequest()
		req.TimeoutMillis = 60_000
		for _, name := range names[:n] {
			req.Topics = append(req.Topics, newTopic(name, w))
		}
		resp, err := req.RequestWith(ctx, cl)
		if err != nil {
			return fmt.Errorf("loadgen: create topics: %w", err)
		}
		for _, t := range resp.Topics {
			err := kerr.ErrorForCode(t.ErrorCode)
			if err == nil {
				continue
			}
			why := ""
			if t.ErrorMessage != nil {
				why = ": " + *t.ErrorMessage
			}
			if errors.Is(err, kerr.TopicAlreadyExists) {
				why = "; leave out --create to use it as it is, or choose another --topic"
			}
			if errors.Is(err, kerr.PolicyViolation) && w.Partitions > partitionsAtOnce {
				why += "; Apache Kafka makes fewer than 10 000 partitions in one request: take more --topics"
			}
			return fmt.Errorf("loadgen: create topic %s: %w%s", t.Topic, err, why)
		}
		names = names[n:]
	}
	return nil
}

func newTopic(name string, w *workload.Workload) kmsg.CreateTopicsRequestTopic {
	t := kmsg.NewCreateTopicsRequestTopic()
	t.Topic, t.NumPartitions = name, int32(w.Partitions)
	t.ReplicationFactor = int16(w.Replication)
	for k, v := range w.TopicConfig {
		c := kmsg.NewCreateTopicsRequestTopicConfig()
		c.Name, c.Value = k, &v
		t.Configs = append(t.Configs, c)
	}
	return t
}

// waitForLeaders asks every partition for its end until all answer: metadata names a leader
// somewhat before it serves. A topic that is not there, or has fewer partitions than the load
// wants, is told at once unless it has just been made.
func waitForLeaders(ctx context.Context, cl *kgo.Client, w *workload.Workload) error {
	until := time.Now().Add(leaderWait)
	for {
		err := offsetsKnown(ctx, cl, w)
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case !w.Create && (errors.Is(err, kerr.UnknownTopicOrPartition) || errors.Is(err, errFewer)):
			return fmt.Errorf("%w; --create makes it", err)
		case time.Now().After(until):
			return fmt.Errorf("loadgen: not all partitions have a leader: %w", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(100 * time.Millisecond):
		}
	}
}

var errFewer = errors.New("fewer partitions than the load wants")

func offsetsKnown(ctx context.Context, cl *kgo.Client, w *workload.Workload) error {
	names := w.TopicNames()
	for len(names) > 0 {
		n := min(topicsAtOnce, len(names))
		req := kmsg.NewPtrMetadataRequest()
		for _, name := range names[:n] {
			t := kmsg.NewMetadataRequestTopic()
			t.Topic = kmsg.StringPtr(name)
			req.Topics = append(req.Topics, t)
		}
		resp, err := req.RequestWith(ctx, cl)
		if err != nil {
			return fmt.Errorf("loadgen: metadata: %w", err)
		}
		for _, t := range resp.Topics {
			if err := kerr.ErrorForCode(t.ErrorCode); err != nil {
				return fmt.Errorf("loadgen: topic %s: %w", *t.Topic, err)
			}
			if len(t.Partitions) < w.Partitions {
				return fmt.Errorf("loadgen: topic %s has %d partitions: %w (%d)", *t.Topic,
					len(t.Partitions), errFewer, w.Partitions)
			}
		}
		names = names[n:]
	}
	_, err := listOffsets(ctx, cl, w, -1)
	return err
}

// offsets of partitions, by topic and partition.
type offsets map[string][]int64

// listOffsets asks every partition for its start (−2), its end (−1) or the end of what is
// committed.
func listOffsets(ctx context.Context, cl *kgo.Client, w *workload.Workload, at int64) (offsets, error) {
	out := make(offsets, w.Topics)
	names := w.TopicNames()
	for len(names) > 0 {
		n := min(topicsAtOnce, len(names))
		req := kmsg.NewPtrListOffsetsRequest()
		req.ReplicaID = -1
		for _, name := range names[:n] {
			out[name] = make([]int64, w.Partitions)
			t := kmsg.NewListOffsetsRequestTopic()
			t.Topic = name
			for p := range int32(w.Partitions) {
				q := kmsg.NewListOffsetsRequestTopicPartition()
				q.Partition, q.Timestamp, q.CurrentLeaderEpoch = p, at, -1
				t.Partitions = append(t.Partitions, q)
			}
			req.Topics = append(req.Topics, t)
		}
		for _, shard := range cl.RequestSharded(ctx, req) {
			if shard.Err != nil {
				return nil, fmt.Errorf("loadgen: list offsets: %w", shard.Err)
			}
			if err := out.take(shard.Resp.(*kmsg.ListOffsetsResponse)); err != nil {
				return nil, err
			}
		}
		names = names[n:]
	}
	return out, nil
}

func (o offsets) take(resp *kmsg.ListOffsetsResponse) error {
	for _, t := range resp.Topics {
		for _, p := range t.Partitions {
			if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
				return fmt.Errorf("loadgen: offsets of %s-%d: %w", t.Topic, p.Partition, err)
			}
			if list := o[t.Topic]; int(p.Partition) < len(list) && p.Partition >= 0 {
				list[p.Partition] = p.Offset
			}
		}
	}
	return nil
}

// Remove deletes the topics of a load.
func Remove(ctx context.Context, w *workload.Workload) error {
	cl, err := newClient(w)
	if err != nil {
		return err
	}
	defer cl.Close()
	names := w.TopicNames()
	for len(names) > 0 {
		n := min(topicsAtOnce, len(names))
		req := kmsg.NewPtrDeleteTopicsRequest()
		req.TimeoutMillis = 60_000
		req.TopicNames = names[:n]
		for _, name := range names[:n] {
			t := kmsg.NewDeleteTopicsRequestTopic()
			t.Topic = kmsg.StringPtr(name)
			req.Topics = append(req.Topics, t)
		}
		resp, err := req.RequestWith(ctx, cl)
		if err != nil {
			return fmt.Errorf("loadgen: delete topics: %w", err)
		}
		for _, t := range resp.Topics {
			if err := kerr.ErrorForCode(t.ErrorCode); err != nil {
				return fmt.Errorf("loadgen: delete topic %s: %w", *t.Topic, err)
			}
		}
		names = names[n:]
	}
	return nil
}
