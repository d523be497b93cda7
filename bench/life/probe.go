package life

import (
	"context"
	"errors"
	"fmt"
	"time"

	"millrace/protocol/batch"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"
)

// Probe asks a broker for something; nil is the right answer.
type Probe func(ctx context.Context, addr string) error

// ask sends one request on a connection of its own, without retries. Versions are those that
// name topics, not their ids.
func ask(ctx context.Context, addr string, req kmsg.Request) (kmsg.Response, error) {
	cl, err := kgo.NewClient(kgo.SeedBrokers(addr), kgo.MaxVersions(kversion.V2_8_0()),
		kgo.RequestRetries(0), kgo.DialTimeout(5*time.Second))
	if err != nil {
		return nil, err
	}
	defer cl.Close()
	return cl.SeedBrokers()[0].Request(ctx, req)
}

// Answers succeeds when ApiVersions is answered.
func Answers(ctx context.Context, addr string) error {
	_, err := ask(ctx, addr, kmsg.NewPtrApiVersionsRequest())
	return err
}

// Serves succeeds when a record was written to one partition with acks=1 and read again.
func Serves(topic string, partition int32) Probe {
	return func(ctx context.Context, addr string) error {
		offset, err := write(ctx, addr, topic, partition)
		if err != nil {
			return err
		}
		return read(ctx, addr, topic, partition, offset)
	}
}

func write(ctx context.Context, addr, topic string, partition int32) (int64, error) {
	var b batch.Builder
	b.Reset(batch.Options{ProducerID: -1, ProducerEpoch: -1, BaseSequence: -1})
	b.Add(time.Now().UnixMilli(), nil, []byte("probe"), nil)
	v, err := b.Finish()
	if err != nil {
		return 0, err
	}
	req := kmsg.NewPtrProduceRequest()
	req.Acks, req.TimeoutMillis = 1, 10_000
	t := kmsg.NewProduceRequestTopic()
	t.Topic = topic
	p := kmsg.NewProduceRequestTopicPartition()
	p.Partition, p.Records = partition, v.Bytes()
	t.Partitions = append(t.Partitions, p)
	req.Topics = append(req.Topics, t)
	resp, err := ask(ctx, addr, req)
	if err != nil {
		return 0, err
	}
	got := resp.(*kmsg.ProduceResponse)
	if len(got.Topics) != 1 || len(got.Topics[0].Partitions) != 1 {
		return 0, errors.New("life: produce: no answer for the partition")
	}
	one := &got.Topics[0].Partitions[0]
	return one.BaseOffset, kerr.ErrorForCode(one.ErrorCode)
}

func read(ctx context.Context, addr, topic string, partition int32, offset int64) error {
	req := kmsg.NewPtrFetchRequest()
	req.MaxWaitMillis, req.MinBytes, req.MaxBytes = 1000, 1, 1<<20
	t := kmsg.NewFetchRequestTopic()
	t.Topic = topic
	p := kmsg.NewFetchRequestTopicPartition()
	p.Partition, p.FetchOffset, p.PartitionMaxBytes = partition, offset, 1<<20
	t.Partitions = append(t.Partitions, p)
	req.Topics = append(req.Topics, t)
	resp, err := ask(ctx, addr, req)
	if err != nil {
		return err
	}
	got := resp.(*kmsg.FetchResponse)
	if len(got.Topics) != 1 || len(got.Topics[0].Partitions) != 1 {
		return errors.New("life: fetch: no answer for the partition")
	}
	one := &got.Topics[0].Partitions[0]
	if err := kerr.ErrorForCode(one.ErrorCode); err != nil {
		return err
	}
	if len(one.RecordBatches) == 0 {
		return errors.New("life: fetch: nothing was read")
	}
	return nil
}

// Commit stores one offset for many partitions of a topic in a group.
func Commit(ctx context.Context, cl *kgo.Client, group, topic string, partitions int32,
	offset int64) error {
	req := kmsg.NewPtrOffsetCommitRequest()
	req.Group, req.Generation = group, -1
	t := kmsg.NewOffsetCommitRequestTopic()
	t.Topic = topic
	for i := range partitions {
		p := kmsg.NewOffsetCommitRequestTopicPartition()
		p.Partition, p.Offset = i, offset
		t.Partitions = append(t.Partitions, p)
	}
	req.Topics = append(req.Topics, t)
	got, err := cl.SeedBrokers()[0].Request(ctx, req)
	if err != nil {
		return err
	}
	for _, t := range got.(*kmsg.OffsetCommitResponse).Topics {
		for _, p := range t.Partitions {
			if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
				return err
			}
		}
	}
	return nil
}

// Coordinator asks who coordinates a group.
func Coordinator(ctx context.Context, cl *kgo.Client, group string) error {
	req := kmsg.NewPtrFindCoordinatorRequest()
	req.CoordinatorKey, req.CoordinatorKeys = group, []string{group}
	_, err := cl.SeedBrokers()[0].Request(ctx, req)
	return err
}

// Committed succeeds when OffsetFetch gives, for one partition of each group, the offset.
func Committed(groups []string, topic string, partition int32, offset int64) Probe {
	return func(ctx context.Context, addr string) error {
		cl, err := Client(addr)
		if err != nil {
			return err
		}
		defer cl.Close()
		for _, g := range groups {
			req := kmsg.NewPtrOffsetFetchRequest()
			req.Group = g // the form before version 8
			t := kmsg.NewOffsetFetchRequestTopic()
			t.Topic, t.Partitions = topic, []int32{partition}
			req.Topics = append(req.Topics, t)
			one := kmsg.NewOffsetFetchRequestGroup()
			one.Group = g
			gt := kmsg.NewOffsetFetchRequestGroupTopic()
			gt.Topic, gt.Partitions = topic, []int32{partition}
			one.Topics = append(one.Topics, gt)
			req.Groups = append(req.Groups, one)
			resp, err := cl.SeedBrokers()[0].Request(ctx, req)
			if err != nil {
				return err
			}
			if err := hasOffset(resp.(*kmsg.OffsetFetchResponse), offset); err != nil {
				return fmt.Errorf("life: group %s: %w", g, err)
			}
		}
		return nil
	}
}

func hasOffset(r *kmsg.OffsetFetchResponse, offset int64) error {
	if len(r.Groups) != 1 {
		return errors.New("no answer")
	}
	g := &r.Groups[0]
	if err := kerr.ErrorForCode(g.ErrorCode); err != nil {
		return err
	}
	if len(g.Topics) != 1 || len(g.Topics[0].Partitions) != 1 {
		return errors.New("no offset")
	}
	p := &g.Topics[0].Partitions[0]
	if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
		return err
	}
	if p.Offset != offset {
		return fmt.Errorf("offset %d, not %d", p.Offset, offset)
	}
	return nil
}

// Client speaks to one broker without retries.
func Client(addr string) (*kgo.Client, error) {
	return kgo.NewClient(kgo.SeedBrokers(addr), kgo.MaxVersions(kversion.V3_8_0()),
		kgo.RequestRetries(0))
}
